"""Rollouts by vLLM: the process beside a trainer, the messages between both, and the environment that it runs in."""
