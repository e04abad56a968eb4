"""The exported reward function pays what the run's own GRPO pays."""

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nep.config.grpo import Grpo
from nep.export import reward as exported
from nep.train.rl.rewards import Rewards, format_reward, letter_reward

PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "A", "B", "C", "D", "E", "a", "A.", "(B)", "AB", "A)"),
    *(" ", "\n", "", "a thought", "the answer is B", "<think", "<answer>B</answer>"),
]
FREE = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
BETWEEN = st.sampled_from(["", " ", "\n", "x"])
NEARLY = st.tuples(BETWEEN, FREE, BETWEEN, FREE, BETWEEN).map(
    lambda parts: "{}<think>{}</think>{}<answer>{}</answer>{}".format(*parts)
)
LETTERS = st.sampled_from("ABCD")
ROW = {"id": "a", "question": "", "answer": "B"}


@given(st.one_of(FREE, NEARLY), LETTERS)
def test_every_completion_gets_the_same_rewards(completion: str, answer: str) -> None:
    assert exported.letter_reward(completion, answer) == letter_reward(completion, answer, ROW)
    assert exported.format_reward(completion) == format_reward(completion, answer, ROW)


@pytest.mark.parametrize(
    ("completion", "letter", "form"),
    [
        ("<think>\nred\n</think>\n<answer>\nB\n</answer>", 1.0, 1.0),
        ("<think>red</think><answer>C</answer>", 0.0, 1.0),
        ("<think>is it <answer>B</answer>?</think><answer>B</answer>", 0.0, 1.0),
        ("<answer>B</answer>", 0.0, 0.0),
        ("<think>red</think><answer>B</answer> or C", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_the_cases_that_matter(completion: str, letter: float, form: float) -> None:
    assert (exported.letter_reward(completion, "B"), exported.format_reward(completion)) == (letter, form)


def test_easyr1_and_verl_get_the_weighted_sum() -> None:
    weights = {"letter": 0.9, "format": 0.1}
    for completion in ("<think>a</think><answer>B</answer>", "<think>a</think><answer>A</answer>", "B"):
        total = Rewards(Grpo(rewards=weights)).score(completion, ROW).total
        easyr1 = exported.score_for_easyr1(
            {"response": completion, "response_length": 1, "ground_truth": "B"}, **weights
        )
        verl = exported.score_for_verl("hop1", completion, "B", {"index": 0}, **weights)
        assert easyr1["overall"] == verl["score"] == pytest.approx(total)


def test_the_file_needs_nothing_but_python() -> None:
    tree = ast.parse(Path(exported.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
