"""What the fork server imports for all processes that it will be asked for."""

import support.engine_memory
import support.training_process

import nep.encode.stage
import nep.train.rl.grpo
import nep.train.sft
from nep.fingerprint import code_fingerprint
from nep.train.distributed import import_deepspeed
from nep.train.run_state import TRAIN_ROOM, TRAINERS

__all__ = ["nep", "support"]

import_deepspeed()
# What each training asks for, too: the code that it depends on has been read.
for trainer in TRAINERS.values():
    code_fingerprint(trainer, TRAIN_ROOM.parents[1])
