"""Evaluation: control videos, lmms-eval on FutureBench, the reading of answers and their accuracy."""
