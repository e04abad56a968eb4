"""The weights under training in the form in which an engine takes them: whole, by the names of a checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nep.model.adapters import adapted_layers, merged_weight
from nep.model.param_groups import is_adapter, part_of

BENEATH_ADAPTER = ".base_layer."


def engine_weights(model: PreTrainedModel, with_tower: bool) -> Iterator[tuple[str, Tensor]]:
    """Name and value of every weight, adapters merged; without the vision side where the engine has none.

    The names are those of the model on disk: a layer with an adapter has the name of the layer beneath.
    """
    layers = dict(adapted_layers(model))
    for name, parameter in model.named_parameters():
        plain = name.replace(BENEATH_ADAPTER, ".")
        if is_adapter(name) or not (with_tower or part_of(plain) == "language_model"):
            continue
        layer, _, kind = plain.rpartition(".")
        yield plain, merged_weight(layers[layer]) if layer in layers and kind == "weight" else parameter.detach()


@dataclass(frozen=True)
class Handles:
    """Weights on a GPU that another process of the same machine may read.

    Attributes:
        update: what vLLM's transfer by CUDA IPC is told (`IPCWeightTransferUpdateInfo` of vLLM 0.32): names, dtypes,
            shapes, and a handle of each weight, pickled as torch's own handles are.
        kept: the tensors, which must live until the engine has read them.
    """

    update: dict[str, Any]
    kept: list[Tensor]


def handles_of(weights: Iterator[tuple[str, Tensor]]) -> Handles:
    """Handles of weights on this process's GPU, by which vLLM reads them without a copy through the host. Not run here:
    this machine has no GPU."""
    import base64
    import pickle

    from torch.multiprocessing.reductions import reduce_tensor

    named = [(name, tensor.contiguous()) for name, tensor in weights]
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    handles = [{uuid: reduce_tensor(tensor)[1]} for _, tensor in named]
    update = {
        "names": [name for name, _ in named],
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for _, tensor in named],
        "shapes": [list(tensor.shape) for _, tensor in named],
        "ipc_handles_pickled": base64.b64encode(pickle.dumps(handles)).decode(),
    }
    return Handles(update, [tensor for _, tensor in named])
