"""From a folder of plain videos to data sets, by an annotator behind an HTTP API that looks at the frames."""

import pytest
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator
from support.workflow import Workplace

from nep.files import read_json, read_jsonl

pytestmark = pytest.mark.e2e

CARD = "results/small/report/data.html"
CRITIQUE = "config/prompts/annotate/critique.md"
VIDEOS = 8


def test_plain_videos_become_data_sets_and_a_changed_prompt_asks_its_step_alone(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    monkeypatch.delenv("NEP_STORE", raising=False)
    run = workplace.root / "results/small"
    with Annotator(answers=ANNOTATE_ANSWERS, key="sk-of-this-test") as server:
        config = workplace.configure(
            "small",
            demo={"videos": {"train": VIDEOS - 2, "test": 2, "size": 84}},
            source={"kind": "videos", "path": "results/small/plain", "questions": "futurebench.json"},
            shots={"shards": 2, "processes": 1, "near_duplicate_distance": None},
            annotate={
                "vision": {"url": server.url, "model": "scripted"},
                "recipe": "timed_events",
                "hindsight": True,
                "size": 84,
                "tolerance_s": 0,
                "shards": 2,
                "processes": 1,
            },
        )
        outcome = workplace.run(config, CARD)
        assert outcome.status == 0, outcome.text
        asked = server.requests

        files = read_json(run / "convert/manifest.json")["files"]
        for name in ("sft/next_event.json", "sft/hindsight.json", "grpo/next_event_mc.jsonl", "futurebench.jsonl"):
            assert files[name]["rows"] > 0, name
        assert len(read_jsonl(run / "split/manifest.jsonl")) == VIDEOS
        assert not read_jsonl(run / "annotate/rejected.jsonl")
        assert "Models annotated 8 of 8 plain videos (100.0 %)." in (workplace.root / CARD).read_text()
        assert "sk-of-this-test" not in "".join(file.read_text() for file in (run / "logs").rglob("*.log"))

        assert "Nothing to be done" in workplace.run(config, CARD).text
        prompt = workplace.root / CRITIQUE
        prompt.write_text(prompt.read_text(encoding="utf-8") + "Be brief.\n", encoding="utf-8")
        outcome = workplace.run(config, CARD)
        assert outcome.status == 0, outcome.text
        # The same answers make the same file: nothing that reads it runs again.
        assert {"annotate_shard", "merge_annotations"} <= outcome.started()
        assert server.requests == asked + VIDEOS
