"""`dataset_info.json`: how LLaMA-Factory reads the ShareGPT files (its `media_dir` is the run's folder)."""

from typing import Any


def dataset_info(names: list[str]) -> dict[str, Any]:
    """An entry for each data set, whose file lies beside `dataset_info.json`."""
    return {name: _entry(f"{name}.json") for name in names}


def _entry(file_name: str) -> dict[str, Any]:
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "videos": "videos"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
