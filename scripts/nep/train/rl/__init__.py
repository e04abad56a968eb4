"""Reinforcement learning: rollout, rewards, advantages, losses, diagnostics, and the GRPO loop."""
