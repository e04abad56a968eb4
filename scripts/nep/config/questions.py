"""What kinds of questions there are, and in which ways a question of the evaluation is asked."""

from typing import Literal

Kind = Literal["hop1", "hop2", "hop3", "interpolation"]
Variant = Literal["direct", "reason"]
VideoControl = Literal["shuffled_frames", "constant_frame"]
Control = Literal[VideoControl, "text_only"]
