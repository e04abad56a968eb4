"""Training on the DeepSpeed engine: SFT and GRPO share the engine, the samples, the checkpoints and the logs."""
