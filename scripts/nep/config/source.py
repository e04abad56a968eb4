"""The block `source`."""

from typing import Any, Literal

from pydantic import Field, model_validator

from nep.config.frame_folders import FrameFolders
from nep.config.origin import Origin
from nep.config.seedbench import SeedLevel

Column = Literal[
    "video_path",
    "split_time",
    "split_scene",
    "caption",
    "caption_part1",
    "caption_part2",
    "events",
    "mc_qa",
    "oe_qa",
    "reasoning",
    "prediction",
    "critique",
    "conclusion",
    "hindsight",
    "frame_files",
    "frame_rate",
]


class Source(Origin):
    """Where the data set comes from."""

    kind: Literal["folder", "hub", "table", "videos"] = Field(
        description="`hub`: a repository at a pinned revision. `folder`: a local folder in the hub's layout. `table`: "
        "a local folder of plain video files with a table of annotations (CSV, JSON, JSONL, parquet). `videos`: a "
        "local folder of plain video files, which the stage `annotate` annotates."
    )
    annotations: str = Field("next_event_prediction.json", description="File of annotations, below the source.")
    questions: str | None = Field(
        "futurebench.json",
        description="File of FutureBench's questions, below the source; null, which is the default of kind `videos`: "
        "there are none.",
    )
    seedbench_r1: dict[SeedLevel, str] = Field(
        {},
        description="Annotation files of SeedBench-R1 by level; their videos and images lie where the others do.",
    )
    columns: dict[Column, str] = Field(
        {}, description="Kind `table`: names of its columns where they differ from ours (ours: the table's)."
    )
    archives: list[str] = Field(
        ["video_data_part*.tar.gz"],
        description="Archives of videos, as patterns of file names below the source: tar files, or parquet files with "
        "a column `video`, as a published data set has them.",
    )
    frame_folders: FrameFolders | None = Field(
        None,
        description="Kinds `videos` and `table`: folders of numbered images, each taken as one video; null: no folder "
        "is.",
    )
    keep_archives: bool = Field(True, description="Whether archives fetched from a hub stay once they are extracted.")

    @model_validator(mode="before")
    @classmethod
    def _plain_videos_bring_no_questions(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "videos":
            return {"questions": None, **values}
        return values

    @model_validator(mode="after")
    def _only_a_table_has_columns(self) -> "Source":
        if self.columns and self.kind != "table":
            raise ValueError("'columns' belongs to kind 'table'; the other kinds have the hub's layout")
        return self

    @model_validator(mode="after")
    def _only_plain_files_lie_in_frame_folders(self) -> "Source":
        if self.frame_folders and self.kind not in ("table", "videos"):
            raise ValueError(
                f"'frame_folders' belongs to kinds 'table' and 'videos', not '{self.kind}'; unpack archives of images"
            )
        return self
