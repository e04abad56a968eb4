"""The rows of data sets: what trainings and exports read."""

from typing import Literal

Part = Literal["train", "validation"]
