"""A recorded model of lmms-eval: its completions survive it, and its failures are those of single questions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from lmms_eval.models import MODEL_REGISTRY_V2, get_model
from support.evaluation_run import write_clip
from transformers import Qwen2_5_VLForConditionalGeneration

from nep.config.encode import Encode
from nep.config.vision import Vision
from nep.evaluate.agreement import Check
from nep.evaluate.ledger import Answer, Ledger
from nep.evaluate.recording import answer_of, load_exact, recorded, register
from nep.evaluate.requests import batches
from nep.files import read_json

FEW, MANY = {"max_new_tokens": 4}, {"max_new_tokens": 64}


def request(
    doc: int, settings: dict = FEW, task: str = "task", messages: Callable[[Any], list] = lambda document: []
) -> Instance:
    metadata = {"task": task, "doc_id": doc, "repeats": 1}
    arguments = ("", messages, settings, doc, task, "test")
    return Instance(request_type="generate_until", arguments=arguments, idx=0, metadata=metadata)


class Echo(lmms):
    """Says the number of each document; raises at those in `fails`, ends at those in `killed_at`."""

    fails: frozenset[int] = frozenset()
    killed_at: frozenset[int] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []

    def generate_until(self, requests):
        docs = [item.args[3] for item in requests]
        self.asked.append(docs)
        if self.killed_at & set(docs):
            raise KeyboardInterrupt
        if bad := sorted(self.fails & set(docs)):
            raise RuntimeError(f"no memory for {bad[0]}")
        return [GenerationResult(text=f"said {doc}") for doc in docs]

    def loglikelihood(self, requests):
        raise NotImplementedError

    def generate_until_multi_round(self, requests):
        raise NotImplementedError


def model(folder: Path, chunk: int = 2, check: Check | None = None, **attributes):
    return recorded(type("Model", (Echo,), attributes), folder, chunk, None, False, check)()


def test_completions_come_in_the_order_of_the_requests_and_are_kept(tmp_path: Path):
    echo = model(tmp_path)
    requests = [request(0), request(1, MANY), request(2), request(3)]
    assert echo.generate_until(requests) == ["said 0", "said 1", "said 2", "said 3"]
    assert echo.asked == [[0, 2], [3], [1]], "one batch has one length of generation"
    assert Ledger(tmp_path)["task", 2] == Answer("task", 2, "said 2")


def test_where_a_batch_fails_its_questions_are_asked_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture):
    echo = model(tmp_path, fails=frozenset({1}))
    assert echo.generate_until([request(0), request(1), request(2)]) == ["said 0", "", "said 2"]
    assert echo.asked == [[0, 1], [0], [1], [2]]
    assert Ledger(tmp_path).errors() == {("task", 1): "RuntimeError: no memory for 1"}
    assert "document 1: RuntimeError: no memory for 1" in capsys.readouterr().out


def test_a_model_that_fails_at_the_comparison_of_logits_is_asked_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    check = Check("task", 0, Vision(), Encode(), tmp_path / "check.json")
    echo = model(tmp_path / "ledger", check=check)
    assert echo.generate_until([request(0)]) == ["said 0"]
    assert read_json(check.out) == {}
    assert "no logits are compared" in capsys.readouterr().out


def test_a_killed_evaluation_goes_on_with_whole_batches_and_asks_failed_questions_again(tmp_path: Path):
    requests = [request(doc) for doc in range(6)]
    killed = model(tmp_path, fails=frozenset({1}), killed_at=frozenset({4}))
    with pytest.raises(KeyboardInterrupt):
        killed.generate_until(requests)
    again = model(tmp_path)
    assert again.generate_until(requests) == [f"said {doc}" for doc in range(6)]
    assert again.asked == [[0, 1], [4, 5]]
    assert Ledger(tmp_path).errors() == {}


def test_a_line_that_a_process_was_killed_at_counts_as_not_written(tmp_path: Path):
    Ledger(tmp_path).write("0-0.jsonl", [Answer("task", 0, "whole"), Answer("task", 1, "torn")])
    file = tmp_path / "0-0.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    ledger = Ledger(tmp_path)
    assert ("task", 0) in ledger
    assert ("task", 1) not in ledger


def test_what_an_endpoint_says_in_the_place_of_an_answer_is_a_failure():
    text = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Error code: 400"
    assert answer_of(request(3), text) == Answer("task", 3, "", text)
    assert answer_of(request(3), "[B]") == Answer("task", 3, "[B]")


def test_batches_keep_settings_and_numbers_of_frames_apart():
    requests = [request(0, FEW), request(1, MANY), request(2, FEW), request(3, FEW), request(4, FEW)]

    def docs(frames: dict[int, int]) -> list[list[int]]:
        found = batches(requests, 2, lambda item: frames.get(item.args[3], 8))
        return [[item.args[3] for item in batch] for batch in found]

    assert docs({}) == [[0, 2], [3, 4], [1]]
    assert docs({2: 4}) == [[0, 3], [4], [1], [2]]


CLIPS = {"long": 12, "exact": 8, "short": 5}
# Clips of the questions, in their order; the last one is asked without a video, and one clip is not there.
SHOWN = ["long", "short", "exact", "long", "none", "exact", "long", None]


@pytest.fixture
def of_clips(tmp_path: Path) -> list[Instance]:
    """A request about each of `SHOWN`."""
    for name, frames in CLIPS.items():
        write_clip(tmp_path / f"{name}.mp4", frames)

    def messages(clip: str | None) -> list[dict]:
        video = [] if clip is None else [{"type": "video", "url": str(tmp_path / f"{clip}.mp4")}]
        return [{"role": "user", "content": [*video, {"type": "text", "text": f"Which lamp is next, {clip}?"}]}]

    return [request(doc, {"max_new_tokens": 8}, messages=messages) for doc in range(len(SHOWN))]


def asked_of_qwen(
    checkpoint: Path, requests: list[Instance], folder: Path, batch_size: int
) -> tuple[list[str], list[list[int]]]:
    """Completions by lmms-eval's own wrapper in fp32, and of each of its calls of the model the frames of the clips."""
    wrapper = recorded(get_model("qwen2_5_vl"), folder, batch_size, 8, True, None)(
        pretrained=str(checkpoint),
        device="cpu",
        device_map="cpu",
        batch_size=batch_size,
        max_num_frames=8,
        min_pixels=784,
        max_pixels=3136,
    )
    wrapper.task_dict = {"task": {"test": SHOWN}}
    calls, generate = [], wrapper.model.generate

    def counted(**inputs):
        calls.append([2 * grid[0] for grid in inputs.get("video_grid_thw", torch.empty(0, 3, dtype=int)).tolist()])
        return generate(**inputs)

    wrapper.model.generate = counted
    return wrapper.generate_until(requests), calls


def test_a_short_clip_leaves_the_questions_about_the_others_in_batches(
    of_clips: list[Instance], tiny_checkpoint: Path, tmp_path: Path
):
    whole = [item for item, clip in zip(of_clips, SHOWN, strict=True) if clip != "none"]
    in_batches, calls = asked_of_qwen(tiny_checkpoint, whole, tmp_path / "batches", 4)
    assert calls == [[8, 8, 8, 8], [8], [4]], "the second batch has the question without a video"
    alone, calls = asked_of_qwen(tiny_checkpoint, whole, tmp_path / "alone", 1)
    assert calls == [[8], [8], [8], [8], [8], [], [4]]
    assert in_batches == alone
    assert any(alone)


def test_a_clip_that_cannot_be_read_is_the_outcome_of_its_question(
    of_clips: list[Instance], tiny_checkpoint: Path, tmp_path: Path
):
    asked, _ = asked_of_qwen(tiny_checkpoint, of_clips[2:6], tmp_path / "ledger", 4)
    assert [bool(text) for text in asked] == [True, True, False, True]
    assert list(Ledger(tmp_path / "ledger").errors()) == [("task", 4)]


@pytest.mark.parametrize("name", ["qwen2_5_vl", "dummy", "nep_family"])
def test_lmms_eval_gets_the_recorded_form_by_the_models_own_name(name: str, tmp_path: Path):
    before = MODEL_REGISTRY_V2._manifests.copy(), MODEL_REGISTRY_V2._alias_to_model_id.copy()
    try:
        register(name, tmp_path, 1, 8, False, None)
        found = get_model(name)
        assert found.__name__ == "Recorded"
        assert issubclass(found, lmms)
    finally:
        MODEL_REGISTRY_V2._manifests, MODEL_REGISTRY_V2._alias_to_model_id = before


def test_exact_weights_are_those_of_the_checkpoint_and_not_rounded(tiny_checkpoint: Path):
    expected = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_checkpoint, dtype=torch.bfloat16)
    load_exact(model, tiny_checkpoint)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for (name, found), wanted in zip(model.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(found, wanted), name
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=tokens).logits, expected(input_ids=tokens).logits)
