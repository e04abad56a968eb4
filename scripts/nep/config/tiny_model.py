"""The block `demo.model`."""

from pydantic import Field

from nep.config.base import Block


class TinyModel(Block):
    """The demo's base model, made in `results/<run>/tiny_model`: a Qwen2.5-VL of a few million parameters.

    Its short pre-training teaches the multiple-choice form and the naming of still frames; no next events.
    """

    hidden_size: int = Field(128, ge=32, multiple_of=32, description="Width of the language model.")
    layers: int = Field(4, ge=1, description="Layers of the language model.")
    heads: int = Field(4, ge=1, description="Attention heads of the language model.")
    vision_hidden_size: int = Field(64, ge=16, description="Width of the vision tower.")
    vision_layers: int = Field(2, ge=1, description="Layers of the vision tower.")
    pretrain_steps: int = Field(600, ge=0, description="Steps of pre-training.")
    pretrain_batch: int = Field(16, ge=1, description="Samples in a step of pre-training.")
    pretrain_lr: float = Field(3e-3, gt=0, description="Learning rate of the weights that AdamW trains.")
    pretrain_matrix_lr: float = Field(2e-3, gt=0, description="Learning rate of the matrices, which Muon trains.")
    threads: int = Field(2, ge=1, description="CPU threads.")
