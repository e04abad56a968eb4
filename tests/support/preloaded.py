"""What the fork server imports for all processes that it will be asked for."""

import support.engine_memory
import support.training_process

import nep.encode.stage
import nep.train.grpo
import nep.train.sft
from nep.train.world import import_deepspeed

__all__ = ["nep", "support"]

import_deepspeed()
