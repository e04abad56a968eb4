"""Training on the DeepSpeed engine: SFT here, GRPO in `rl`; both share the engine, the checkpoints and the logs.

1. `nep.model`: `samples` turns rows into tokens, labels and positions, once; `visual` gives the cached features of
   their videos; `packing` lays a step out as rows without padding, in which `attention` keeps sequences apart;
   `scoring` gives log-probs. `batches` says, from (seed, step) alone, what a step takes.
2. `rl`: `rollout` writes completions with the current weights (`kv_cache`: cache and decode step; `decoding`: which
   token), of which `experience` makes rewarded `groups` (a prompt once for all of its completions); `rewards`,
   `advantages` and `losses` are functions of them, and `diagnostics` looks for trouble.
3. `engine` adds up the gradients of rows and processes to that of the whole effective batch, and steps;
   `nep.model.param_groups` says what is trained and at which rate.
4. `loop` is what SFT and GRPO share: resume, log, validate, save, stop, publish. `checkpoint` and `run_state` keep
   what a killed run resumes from, and publish what it ends in; `anomalies` notes the steps that were left out.
5. `runtime`, which decides no result: `preflight` says whether a training fits into memory, `metrics`, `meter` and
   `trackers` write its logs, `preemption` and `launcher` let it be told to stop.
"""

import os

# Read once, when torch loads its OpenMP. Threads that wait by spinning make a shared machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
