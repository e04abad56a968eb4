"""Answers in files: found again by whoever comes later, whatever became of those who wrote them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from support.imports import SCRIPTS

from nep.ask.answers import Answers

KEYS = [f"{number:064x}" for number in range(4)]
# Keeps answers and reports each one that is kept, until it is killed.
WRITER = """
import sys
from pathlib import Path
from nep.ask.answers import Answers
answers = Answers(Path(sys.argv[1]))
for number in range(1_000_000):
    answers.keep(f"{number:064x}", f"answer {number}")
    print(number, flush=True)
"""


def test_what_one_has_kept_others_find(tmp_path: Path) -> None:
    first, second = Answers(tmp_path / "a"), Answers(tmp_path / "a")
    first.keep(KEYS[0], '{"text": "a\\nb \u2028 \ud800"}')
    second.keep(KEYS[1], "b")
    assert list(first.find(KEYS[0])) == ['{"text": "a\\nb \u2028 \ud800"}']
    assert list(first.find(KEYS[1])) == [], "what others keep meanwhile is found by the next start"
    third = Answers(tmp_path / "a")
    assert [list(third.find(key)) for key in KEYS[:3]] == [['{"text": "a\\nb \u2028 \ud800"}'], ["b"], []]
    assert len(list((tmp_path / "a").iterdir())) == 2, "a start that keeps nothing leaves no file"


def test_a_second_answer_to_the_same_question_comes_after_the_first(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.keep(KEYS[0], "first")
    answers.keep(KEYS[0], "second")
    assert list(answers.find(KEYS[0])) == list(Answers(tmp_path).find(KEYS[0])) == ["first", "second"]


def test_a_torn_line_and_damaged_ones_count_as_absent(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    for key in KEYS:
        answers.keep(key, f"answer of {key}")
    answers.close()
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"answer", b"Answer")
    lines[2] = b"\0" * len(lines[2])
    lines[3] = lines[3][:-9]
    file.write_bytes(b"".join(lines))
    again = Answers(tmp_path)
    assert [len(list(again.find(key))) for key in KEYS] == [1, 0, 0, 0]


def test_a_killed_process_loses_nothing_that_it_has_kept(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    ) as writer:
        for line in writer.stdout:
            if int(line) == 500:
                break
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
    answers = Answers(tmp_path / "a")
    for number in (*range(501), *told):
        assert list(answers.find(f"{number:064x}")) == [f"answer {number}"]
