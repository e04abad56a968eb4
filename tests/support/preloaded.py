"""What the fork server imports for all processes that it will be asked for."""

import support.engine_memory
import support.training_process

import nep.encode.stage
import nep.train.grpo
import nep.train.sft
from nep.fingerprint import code_fingerprint
from nep.train.run_state import TRAIN_ROOM
from nep.train.world import import_deepspeed

__all__ = ["nep", "support"]

import_deepspeed()
# What each training asks for, too: the code that it depends on has been read.
for stage in ("sft", "grpo"):
    code_fingerprint(TRAIN_ROOM / f"{stage}.py", TRAIN_ROOM.parents[1])
