"""The two trainers learn: SFT the form of an answer, GRPO from it which letter is rewarded."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.files import read_jsonl, write_json, write_jsonl
from nep.train.rl.grpo import train_grpo
from nep.train.sft import train_sft

SFT = Sft(datasets={"form": None}, epochs=50, batch_size=12, lr=3e-3, threads=1)
GRPO = Grpo(
    steps=40,
    prompts_per_step=6,
    completions=8,
    max_new_tokens=24,
    lr=3e-4,
    threads=1,
    kl_coef=1e-3,
)
REWARDED = "B"


def answer_in_form(question: dict[str, Any], letter: str) -> dict[str, Any]:
    """SFT row that answers a question with `letter`."""
    answer = f"<think>\n\n</think>\n<answer>\n{letter}\n</answer>"
    turns = [{"role": "user", "content": question["problem"]}, {"role": "assistant", "content": answer}]
    clip = {key: question[key] for key in ("video_id", "source", "view", "videos")}
    return {**clip, "id": f"{question['id']}/{letter}", "messages": turns}


@pytest.mark.e2e
def test_grpo_raises_the_reward_of_a_model_that_sft_taught_the_form(paths_to, tmp_path: Path, torch_settings) -> None:
    """Each question is answered with A and with B in SFT, so that the letter is left for GRPO to find."""
    paths = paths_to(tmp_path)
    shutil.copytree(paths.convert, tmp_path / "convert")
    questions_file = tmp_path / "convert" / "grpo" / "next_event_mc.jsonl"
    questions = [{**row, "answer": REWARDED} for row in read_jsonl(questions_file)]
    write_jsonl(questions_file, questions)
    rows = [answer_in_form(question, letter) for question in questions for letter in "AB"]
    write_json(tmp_path / "convert" / "sft" / "form.json", rows)
    write_json(tmp_path / "convert" / "sft" / "form.validation.json", rows[:2])

    sft = replace(paths, convert=tmp_path / "convert", out=tmp_path / "nep" / "sft")
    train_sft(SFT, 0, "nep", sft)
    assert read_jsonl(sft.out / "metrics.jsonl")[-1]["loss"] < 0.2

    start = {"model": sft.out / "model", "model_manifest": sft.out / "manifest.json"}
    grpo = replace(sft, **start, out=tmp_path / "nep" / "grpo")
    train_grpo(GRPO, 0, "nep", grpo)
    rewards = [row["reward"] for row in read_jsonl(grpo.out / "metrics.jsonl")]
    assert sum(rewards[:3]) / 3 < 0.65
    assert sum(rewards[-3:]) / 3 > 0.8
    validation = read_jsonl(grpo.out / "validation.jsonl")
    assert validation[-1]["reward"] > validation[0]["reward"] or validation[-1]["reward"] == 1.0
