"""Language models loaded in 8 and 4 bits: what becomes of their weights, and how far their logits are from before."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nep.config.vision import Vision
from nep.errors import InputError
from nep.files import read_json, write_json
from nep.model.chat import ChatModel
from nep.model.quantized import quantized_options

CPU = torch.device("cpu")
# Bits of a weight of the language model's linear layers; how far weights may be from before, and logits from those of
# the weights that are left, of their norms: LLM.int8 rounds activations too, and kernels for CPUs compute nf4 in bf16.
FORMS = {"int8": (8, 0.02, 0.06), "nf4": (4, 0.12, 0.03)}


def loaded(folder: Path, quantize: str | None) -> ChatModel:
    return ChatModel(folder, Vision(), CPU, torch.float32, quantize=quantize)


def logits(chat: ChatModel) -> Tensor:
    with torch.no_grad():
        return chat.model(input_ids=torch.arange(10, 60)[None]).logits.float()


def distance(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def plain_weight(kind: str, weight: nn.Parameter) -> Tensor:
    """What a quantised weight stands for."""
    if kind == "int8":
        return weight.CB.float() * weight.SCB[:, None] / 127
    # Here, as importing it takes seconds.
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state)


@pytest.mark.parametrize("kind", FORMS)
def test_linear_weights_have_so_many_bits_and_logits_are_theirs(tiny_checkpoint: Path, kind: str) -> None:
    bits, weights_allowed, logits_allowed = FORMS[kind]
    plain, chat = loaded(tiny_checkpoint, None), loaded(tiny_checkpoint, kind)
    before, after = (dict(one.model.named_parameters()) for one in (plain, chat))
    changed = {name for name in before if after[name].nbytes != before[name].nbytes}
    assert changed == {name for name in before if "language_model.layers" in name and name.endswith("proj.weight")}
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - changed)
    for name in changed:
        assert 8 * after[name].nbytes == bits * before[name].numel()
        left = plain_weight(kind, after[name])
        assert 0 < distance(left, before[name]) < weights_allowed
        before[name].data.copy_(left)
    assert distance(logits(chat), logits(plain)) < logits_allowed


def test_a_missing_package_is_said_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InputError, match="quantize: int8 needs the package bitsandbytes, which cannot be imported"):
        quantized_options(tmp_path / "nothing", "int8", torch.float32, CPU)


def test_a_device_that_cannot_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quantize: bitsandbytes [\d.]+ cannot compute nf4 on vulkan here"):
        quantized_options(tmp_path / "nothing", "nf4", torch.float32, torch.device("vulkan"))


def test_a_checkpoint_that_is_quantised_already_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = read_json(tiny_checkpoint / "config.json")
    write_json(tmp_path / "config.json", {**config, "quantization_config": {"quant_method": "awq"}})
    with pytest.raises(InputError, match=f"{tmp_path}: quantised already"):
        quantized_options(tmp_path, "int8", torch.float32, CPU)
