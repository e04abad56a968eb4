"""Which model is asked, and how it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import ValidationError

from nep.config.base import Precision
from nep.config.endpoint import Endpoint
from nep.config.vision import Vision
from nep.data.prompts import Prompts, Variant
from nep.errors import InputError
from nep.model.precision import DTYPES
from nep.model.quantized import Quantization
from nep.predict.endpoint import EndpointPredictor
from nep.predict.first_part import FirstParts
from nep.predict.local import LocalPredictor
from nep.predict.predictor import Predictor
from nep.predict.run_models import RunModels, models_of_run
from nep.workflow.bf16 import say_what_bf16_costs
from nep.workflow.device import need_cuda, on_cuda

MOST_TOKENS = 512


@dataclass(frozen=True)
class Choice:
    """A model and how it is run.

    Attributes:
        run: folder of a run.
        model: one of its models (None: the last one trained), or a checkpoint folder.
        endpoint: a model behind an API instead.
        budget: keys of the block `vision` that take the place of the run's.
        device: as PyTorch names it; None: CUDA where there is a GPU, else the CPU.
        precision: None: bf16 on a GPU, fp32 on a CPU, many of which compute in bf16 twenty times slower.
        quantize: bits of the language model's weights.
    """

    run: Path | None = None
    model: str | None = None
    endpoint: Endpoint | None = None
    budget: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    precision: Precision | None = None
    quantize: Quantization | None = None


@dataclass(frozen=True)
class Opened:
    """A model that is ready, its name, and the longest completions that its run's evaluation allowed, by variant."""

    predictor: Predictor
    name: str
    max_new_tokens: Mapping[Variant, int]

    def most_tokens(self, variant: Variant, options: tuple[str, ...]) -> int:
        """The longest completion by default: as the evaluation's for a choice among options, 512 tokens without."""
        return self.max_new_tokens.get(variant, MOST_TOKENS) if options else MOST_TOKENS


def open_predictor(choice: Choice, prompts: Prompts, parts: FirstParts) -> Opened:
    """Load the model that is chosen. Raises InputError where there is none, or it cannot be loaded as asked."""
    run = models_of_run(choice.run) if choice.run else None
    vision = _vision(run, choice.budget)
    tokens = run.max_new_tokens if run else {}
    if choice.endpoint:
        return Opened(EndpointPredictor(choice.endpoint, vision, prompts, parts), choice.endpoint.model, tokens)
    name, folder = _checkpoint(run, choice.model)
    local = open_local(folder, vision, prompts, parts, choice.device, choice.precision, choice.quantize)
    return Opened(local, name, tokens)


def open_local(
    folder: Path,
    vision: Vision,
    prompts: Prompts,
    parts: FirstParts,
    device: str | None = None,
    precision: Precision | None = None,
    quantize: Quantization | None = None,
) -> LocalPredictor:
    """Load a checkpoint; see `Choice`. Raises InputError where it cannot be loaded as asked."""
    if device is None:
        device = "cuda" if on_cuda() else "cpu"
    elif device.startswith("cuda"):
        need_cuda(f"--device is {device!r}", "set it to cpu")
    dtype = DTYPES[precision or ("fp32" if device == "cpu" else "bf16")]
    say_what_bf16_costs(dtype, torch.device(device))
    # Progress bars and remarks would stand among the answers.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return LocalPredictor(folder, vision, prompts, parts, torch.device(device), dtype, quantize)


def _checkpoint(run: RunModels | None, model: str | None) -> tuple[str, Path]:
    """Name and folder of a checkpoint."""
    if model is not None and (Path(model) / "config.json").is_file():
        return model, Path(model)
    if run is not None:
        found = run.named(model)
        return found.path, found.folder
    if model is not None:
        raise InputError(f"{model}: no checkpoint folder (no config.json in it); a model of a run needs the run's name")
    raise InputError("no model: name a run, a checkpoint folder, or an endpoint")


def _vision(run: RunModels | None, budget: Mapping[str, Any]) -> Vision:
    """The run's budget, or the published one, with the keys of `budget`."""
    before = run.vision if run else Vision()
    sampling = {"sampling": "fps"} if "fps" in budget else {}
    try:
        return Vision.model_validate({**before.model_dump(), **sampling, **budget})
    except ValidationError as error:
        (first, *_) = error.errors()
        key = ".".join(map(str, first["loc"])) or "vision"
        raise InputError(f"{key}: {first['msg']} (found {first['input']!r})") from None
