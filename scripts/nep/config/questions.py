"""In which ways a question of the evaluation is asked."""

from typing import Literal

Variant = Literal["direct", "reason"]
VideoControl = Literal["shuffled_frames", "constant_frame"]
Control = Literal[VideoControl, "text_only"]
