"""Evaluation: control videos, lmms-eval on our benchmarks and its own, the reading of answers and their accuracy."""
