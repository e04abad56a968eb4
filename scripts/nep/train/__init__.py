"""Training on the DeepSpeed engine: SFT and GRPO share the engine, the samples, the checkpoints and the logs.

1. `samples` turns rows into tokens, labels and positions, once; `visual` gives the cached features of their videos.
2. `batches` says, from (seed, step) alone, what a step takes; `packing` lays it out as rows without padding, in which
   `attention` keeps sequences apart (`groups`: a prompt once for all of its completions); `scoring` gives log-probs.
3. `rollout` writes completions with the current weights (`sequences`: cache and decode step; `decoding`: which token),
   of which `experience` makes rewarded groups; `rewards`, `advantages` and `losses` are functions of them, and `signs`
   looks for trouble.
4. `engine` adds up the gradients of rows and processes to that of the whole effective batch, and steps; `parts` says
   what is trained and at which rate, `preflight` whether it fits into memory.
5. `checkpoint`, `metrics`, `meter` and `run_state` keep what a killed run resumes from, and publish what it ends in;
   `trackers` copy the logs for programs that draw them;
   `preemption` and `launcher` let it be told to stop, `anomalies` notes the steps that were left out.
"""

import os

# Read once, when torch loads its OpenMP. Threads that wait by spinning make a shared machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
