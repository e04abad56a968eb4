"""What vLLM is told of this project: tokens not to sample, the trainer's positions, weights by shared memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor
from vllm.config import VllmConfig
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.multimodal.inputs import MultiModalFeatureSpec
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

# Key of vLLM's additional configuration with the ids of the tokens that cannot be sampled.
BANNED = "banned_tokens"
# Name of the transfer by shared memory.
MEMORY = "memory"


class BannedTokens(LogitsProcessor):
    """Makes the same tokens impossible in every request, before the temperature is applied."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._banned = torch.tensor(vllm_config.additional_config[BANNED], dtype=torch.int64, device=device)

    def apply(self, logits: Tensor) -> Tensor:
        """(B, V) fp32, changed in place."""
        return logits.index_fill_(-1, self._banned, float("-inf"))

    def is_argmax_invariant(self) -> bool:
        """Whether greedy completions are the same without it."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """All requests are alike."""


@dataclass
class NoInitInfo(WeightTransferInitInfo):
    """Shared memory needs no meeting."""


@dataclass
class MemoryUpdateInfo(WeightTransferUpdateInfo):
    """`path`: a safetensors file in memory that trainer and engine share, with all weights by the trainer's names."""

    path: str


class MemoryTransfer(WeightTransferEngine[NoInitInfo, MemoryUpdateInfo]):
    """Weights by shared memory, through the steps of vLLM's own transfers: layers are reloaded one by one."""

    init_info_cls = NoInitInfo
    update_info_cls = MemoryUpdateInfo

    def init_transfer_engine(self, init_info: NoInitInfo) -> None:
        """Nothing to agree on."""

    def start_weight_update(self) -> None:
        """Prepare all layers for weights in the form of a checkpoint."""
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: MemoryUpdateInfo) -> None:
        """Load the weights in the file."""
        self.model.load_weights(load_file(update_info.path).items())

    def finish_weight_update(self) -> None:
        """Finish what layers do once all their weights are there."""
        finalize_layerwise_reload(self.model, self.model_config)
        # A head that shares the embedding's weight is sent no weight of its own, and on a CPU it computes with a copy.
        for module in self.model.modules():
            if isinstance(module, ParallelLMHead):
                module.quant_method.process_weights_after_loading(module)

    def shutdown(self) -> None:
        """Nothing is held."""


class TrainersPositions:
    """Rotary positions of prompts as the trainer has them, in the place of the model's own function.

    They differ: transformers 5.23 lets the text behind a video go on from the larger side of its grid, and vLLM 0.32
    from its last moment, as transformers did before 5.3.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], dict[tuple[str, ...], Tensor]] = {}

    def know(self, tokens: Sequence[int], clips: Sequence[str], positions: Tensor) -> None:
        """Positions (3, L) of a prompt by its tokens and the names of its clips."""
        self._known.setdefault(tuple(tokens), {})[tuple(clips)] = positions

    def forget(self) -> None:
        """No prompt of these is under way any more."""
        self._known.clear()

    def __call__(self, input_tokens: list[int], mm_features: list[MultiModalFeatureSpec]) -> tuple[Tensor, int]:
        """As `SupportsMRoPE.get_mrope_input_positions`: the positions, and what is to be added to the place of a token
        behind the prompt."""
        positions = self._known[tuple(input_tokens)][tuple(feature.identifier for feature in mm_features)]
        return positions, int(positions.max()) + 1 - len(input_tokens)


def register_memory_transfer() -> None:
    """Let vLLM find `MemoryTransfer` by its name."""
    WeightTransferEngineFactory.register_engine(MEMORY, MemoryTransfer)
