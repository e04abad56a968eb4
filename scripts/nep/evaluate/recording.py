"""A model of lmms-eval whose answers are kept as they come, and whose failures are outcomes of single questions."""

import os
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lmms_eval.api.instance import Instance, unwrap_generation_output
from lmms_eval.api.model import lmms
from lmms_eval.models import MODEL_REGISTRY_V2, get_model
from lmms_eval.models.registry_v2 import ModelManifest
from tqdm import tqdm
from transformers import PreTrainedModel

from nep.evaluate.agreement import Check, compare_logits
from nep.evaluate.frame_counts import sampled_frames
from nep.evaluate.ledger import PROGRESS, Answer, Ledger
from nep.evaluate.requests import batches, first_video, key_of, messages_of
from nep.evaluate.wrappers import FAMILY_WRAPPER, VLLM_WRAPPER
from nep.files import write_json
from nep.workflow.bf16 import say_what_bf16_costs

# What lmms-eval's wrapper of an endpoint answers in the place of a completion.
NO_ANSWER = ("[LMMS_EVAL_REQUEST_FAILED", "[LMMS_EVAL_BUDGET_EXCEEDED]")
_ERROR_LENGTH = 500


def register(name: str, ledger: Path, chunk: int, frames: int | None, exact: bool, check: Check | None) -> None:
    """Put a recorded form of the model `name` into its place in lmms-eval's registry.

    `chunk` questions are asked at a time, where `frames` is a number only such of whose clips the wrapper takes as many
    frames, `frames` at most. Before the first one, `check` is made, by one process. With `exact` the weights are fp32.
    """
    model = model_class(name)
    globals()["Recorded"] = recorded(model, ledger, chunk, frames, exact, check)
    kind = "simple_class_path" if model.is_simple else "chat_class_path"
    MODEL_REGISTRY_V2.register_manifest(ModelManifest(name, **{kind: f"{__name__}.Recorded"}), overwrite=True)


def model_class(name: str) -> type[lmms]:
    """The class of a model: one of ours or of lmms-eval's. Each needs packages that another one's environment lacks."""
    if name == FAMILY_WRAPPER:
        from nep.evaluate.family_model import FamilyModel

        return FamilyModel
    if name == VLLM_WRAPPER:
        from nep.evaluate.vllm_model import VllmModel

        return VllmModel
    return get_model(name)


def recorded(
    model: type[lmms], folder: Path, chunk: int, frames: int | None, exact: bool, check: Check | None
) -> type[lmms]:
    """A subclass of a model of lmms-eval that keeps its completions in the ledger in `folder`."""

    frames_of_clip = cache(partial(sampled_frames, most=frames))

    class Recorded(model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            if exact:
                load_exact(self.model, Path(options["pretrained"]))

        def generate_until(self, requests: list[Instance]) -> list[str]:
            """Completions in the order of `requests`; an empty one where the model failed."""
            rank = int(os.environ.get("RANK", 0))
            # Not behind an API.
            if rank == 0 and isinstance(computing := getattr(self, "model", None), torch.nn.Module):
                say_what_bf16_costs(computing.dtype, computing.device)
            ledger = Ledger(folder)
            if check is not None and rank == 0 and not check.out.exists():
                write_json(check.out, self._compared(requests))
            file = f"{len(list(folder.glob('*.jsonl')))}-{rank}.jsonl"
            with tqdm(total=len(requests), desc=PROGRESS, unit="question", disable=rank != 0) as bar:
                for batch in batches(requests, chunk, self._frames_of):
                    # All of a batch or nothing: the last bits of a completion depend on its neighbours.
                    if not all(key_of(request) in ledger for request in batch):
                        ledger.write(file, self._answers(batch))
                    bar.update(len(batch))
            return [ledger[key_of(request)].text for request in requests]

        def _frames_of(self, request: Instance) -> int | None:
            """Frames that lmms-eval's wrapper would sample of a request's clip, were it alone; None where it need not
            be known."""
            if frames is None:
                return None
            try:
                clip = first_video(messages_of(request, self.task_dict))
                return frames if clip is None else frames_of_clip(Path(clip))
            # The wrapper raises it once more, where it is that question's outcome.
            except Exception:
                return frames

        def _compared(self, requests: list[Instance]) -> dict[str, Any]:
            """The comparison of logits; an empty one where the model fails at it, which ends no evaluation."""
            try:
                return compare_logits(self, super().generate_until, requests, check)
            except Exception as error:
                print(f"no logits are compared: {type(error).__name__}: {error}", flush=True)
                return {}

        def _answers(self, batch: list[Instance]) -> list[Answer]:
            try:
                outputs = super().generate_until(batch)
                return [answer_of(request, output) for request, output in zip(batch, outputs, strict=True)]
            # Whatever a model raises at a question is that question's outcome.
            except Exception as error:
                failed = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
            # Here and not above: the error holds on to the tensors of the batch.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(batch) == 1:
                task, doc = key_of(batch[0])
                print(f"task {task}, document {doc}: {failed}", flush=True)
                return [Answer(task, doc, "", failed)]
            return [row for request in batch for row in self._answers([request])]

    return Recorded


def load_exact(model: PreTrainedModel, folder: Path) -> None:
    """Give a model the weights of its checkpoint in fp32: lmms-eval's wrapper loads them in bfloat16, whatever it is
    told, which a CPU without such instructions computes with many times slower."""
    if model.dtype != torch.float32:
        weights = type(model).from_pretrained(folder, dtype=torch.float32, local_files_only=True).state_dict()
        model.float().load_state_dict(weights)


def answer_of(request: Instance, output: Any) -> Answer:
    """A model's output as a row of the ledger."""
    text, _ = unwrap_generation_output(output)
    task, doc = key_of(request)
    return Answer(task, doc, "", text[:_ERROR_LENGTH]) if text.startswith(NO_ANSWER) else Answer(task, doc, text)
