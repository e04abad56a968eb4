"""The task that lmms-eval runs: its documents, prompts and samples."""

from pathlib import Path

import pytest
import yaml
from support.evaluation_run import question

from nep.config import Evaluate
from nep.data.prompts import load_prompts
from nep.evaluation.task_folder import TEMPLATE, Task, document, planned_tasks, write_task_folder
from nep.evaluation.tasks.futurebench import utils
from nep.files import read_jsonl

PROMPTS = Path("config/prompts.yaml").resolve()


def test_tasks_are_all_variants_on_real_and_control_videos():
    evaluate = Evaluate(variants=["direct", "reason"], controls=["shuffled_frames", "constant_frame"])
    assert [task.label for task in planned_tasks(evaluate)] == [
        "direct",
        "reason",
        "direct_shuffled_frames",
        "reason_shuffled_frames",
        "direct_constant_frame",
        "reason_constant_frame",
    ]
    assert Task("reason", "shuffled_frames").name == "nep_futurebench_reason_shuffled_frames"


def test_the_folder_holds_a_definition_and_the_documents_of_each_task(tmp_path: Path):
    evaluate = Evaluate(max_new_tokens={"direct": 4, "reason": 32})
    tasks = planned_tasks(evaluate)
    media = {None: {"v0": Path("/real.mp4")}, "shuffled_frames": {"v0": Path("/shuffled.mp4")}}

    write_task_folder(tmp_path, tasks, [question(0)], media, PROMPTS, evaluate)

    assert len(list(tmp_path.glob("*.yaml"))) == len(tasks) == 4
    task = Task("reason", "shuffled_frames")
    definition = yaml.safe_load((tmp_path / f"{task.name}.yaml").read_text())
    assert definition["task"] == task.name
    assert definition["include"] == str(TEMPLATE)
    assert TEMPLATE.is_file()
    assert definition["generation_kwargs"]["max_new_tokens"] == 32
    rows = read_jsonl(Path(definition["dataset_kwargs"]["data_files"]["test"]))
    assert rows == [document(question(0), task, Path("/shuffled.mp4"))]
    assert utils.doc_to_visual(rows[0]) == ["/shuffled.mp4"]


def test_a_question_asked_by_its_text_alone_has_no_video(tmp_path: Path):
    evaluate = Evaluate(variants=["direct"], controls=["text_only"])
    media = {None: {"v0": Path("/real.mp4")}, "text_only": {"v0": None}}
    write_task_folder(tmp_path, planned_tasks(evaluate), [question(0)], media, PROMPTS, evaluate)
    (row,) = read_jsonl(tmp_path / "nep_futurebench_direct_text_only.jsonl")
    assert utils.doc_to_visual(row) == []


@pytest.mark.parametrize("variant", ["direct", "reason"])
def test_the_prompt_is_the_one_that_training_uses(variant: str):
    prompts = load_prompts(PROMPTS)
    row = question(0)
    doc = document(row, Task(variant, None), Path("/v.mp4"))
    arguments = {"variant": variant, "prompts": str(PROMPTS)}

    text = utils.doc_to_text(doc, arguments)

    assert text == prompts.multiple_choice(row["question"], row["options"], variant)
    assert text.splitlines() == [
        "Which lamp lights up next?",
        "A. The red lamp.",
        "B. The blue lamp.",
        "C. The green lamp.",
        "D. The pink lamp.",
        getattr(prompts.instructions, variant),
    ]


def test_options_that_the_question_holds_are_not_repeated():
    row = question(0, question="Which? A) red B) blue C) green D) pink", options_inline=True)
    doc = document(row, Task("direct", None), Path("/v.mp4"))
    text = utils.doc_to_text(doc, {"variant": "direct", "prompts": str(PROMPTS)})
    assert text.count("blue") == 1


def test_a_sample_holds_both_readings_of_the_completion():
    doc = document(question(1), Task("reason", "shuffled_frames"), Path("/v.mp4"))
    completion = "<think>\nA lamp.\n</think>\n<answer>\nB\n</answer>"

    sample = utils.process_results(doc, [completion])["accuracy"]

    assert sample == {
        "question_id": "q1",
        "video_id": "v0",
        "kind": "hop2",
        "variant": "reason",
        "control": "shuffled_frames",
        "question": doc["question"],
        "options": doc["options"],
        "answer": "B",
        "completion": completion,
        "parsed": "B",
        "correct": True,
        "legacy_parsed": "A",
        "legacy_correct": False,
        "score": 1.0,
    }
    assert utils.accuracy([sample, {"score": 0.0}]) == 0.5
