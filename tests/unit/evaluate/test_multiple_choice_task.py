"""The task that lmms-eval runs: its documents, prompts and samples."""

from pathlib import Path

import pytest
import yaml
from PIL import Image
from support.evaluation_run import question

from nep.config.evaluate import Evaluate
from nep.data.prompts import load_prompts
from nep.evaluate.task_folder import TEMPLATE, Asked, Task, document, planned_tasks, write_task_folder
from nep.evaluate.tasks.multiple_choice import utils
from nep.files import read_jsonl
from nep.rows.question import AskedQuestion

PROMPTS = Path("config/prompts.yaml").resolve()


def document_of(row: AskedQuestion, task: Task) -> dict:
    return document(row, Asked(task, [row], {row.id: Path("/v.mp4")}), Path())


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
    assert Task("futurebench", "reason", "shuffled_frames").name == "nep_futurebench_reason_shuffled_frames"
    both = Evaluate(tasks=["seedbench_r1_l3", "futurebench", "seedbench_r1_l1"], variants=["direct"])
    assert [(task.benchmark, task.label) for task in planned_tasks(both)] == [
        ("futurebench", "direct"),
        ("futurebench", "direct_shuffled_frames"),
        ("seedbench_r1_l1", "direct"),
        ("seedbench_r1_l3", "direct"),
    ]


def test_the_folder_holds_a_definition_and_the_documents_of_each_task(tmp_path: Path):
    evaluate = Evaluate(max_new_tokens={"direct": 4, "reason": 32})
    videos = {None: {"q0": Path("/real.mp4")}, "shuffled_frames": {"q0": Path("/shuffled.mp4")}}
    asked = [Asked(task, [question(0)], videos[task.control]) for task in planned_tasks(evaluate)]

    write_task_folder(tmp_path, asked, PROMPTS, evaluate, tmp_path)

    assert len(list(tmp_path.glob("*.yaml"))) == len(asked) == 4
    shuffled = asked[-1]
    definition = yaml.safe_load((tmp_path / f"{shuffled.task.name}.yaml").read_text())
    assert definition["task"] == shuffled.task.name == "nep_futurebench_reason_shuffled_frames"
    assert definition["include"] == str(TEMPLATE)
    assert TEMPLATE.is_file()
    assert definition["generation_kwargs"]["max_new_tokens"] == 32
    rows = read_jsonl(Path(definition["dataset_kwargs"]["data_files"]["test"]))
    assert rows == [document(question(0), shuffled, tmp_path)]
    assert utils.doc_to_visual(rows[0]) == ["/shuffled.mp4"]


def test_a_question_shows_its_video_then_its_image_and_by_its_text_alone_neither(tmp_path: Path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "now.png")
    row = question(0, image="now.png")
    shown = document(row, Asked(Task("seedbench_r1_l1", "direct"), [row], {"q0": Path("/v.mp4")}), tmp_path)
    video, image = utils.doc_to_visual(shown)
    assert (video, image.size, image.getpixel((0, 0))) == ("/v.mp4", (8, 6), (255, 0, 0))
    without_video = document(row, Asked(Task("seedbench_r1_l1", "direct"), [row], {"q0": None}), tmp_path)
    assert [visual.size for visual in utils.doc_to_visual(without_video)] == [(8, 6)]
    text_only = document(row, Asked(Task("futurebench", "direct", "text_only"), [row], {"q0": None}), tmp_path)
    assert utils.doc_to_visual(text_only) == []


@pytest.mark.parametrize("variant", ["direct", "reason"])
def test_the_prompt_is_the_one_that_training_uses(variant: str):
    prompts = load_prompts(PROMPTS)
    row = question(0)
    doc = document_of(row, Task("futurebench", variant))
    arguments = {"variant": variant, "prompts": str(PROMPTS)}

    text = utils.doc_to_text(doc, arguments)

    assert text == prompts.multiple_choice(row.question, row.options, variant)
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
    doc = document_of(row, Task("futurebench", "direct"))
    text = utils.doc_to_text(doc, {"variant": "direct", "prompts": str(PROMPTS)})
    assert text.count("blue") == 1


def test_a_sample_holds_both_readings_of_the_completion():
    doc = document_of(question(1), Task("futurebench", "reason", "shuffled_frames"))
    completion = "<think>\nA lamp.\n</think>\n<answer>\nB\n</answer>"

    sample = utils.process_results(doc, [completion])["accuracy"]

    assert sample == {
        "task": "futurebench",
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
