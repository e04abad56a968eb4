"""What decides the questions of a video beside its annotation: prompts and keys. The rules compare them."""

from pathlib import Path

from nep.config.own_benchmark import OwnBenchmark

# The text model is asked without the video as the vision model is.
PROMPTS = ("write", "distract", "check", "without_video", "first_part", "second_part")
# The other keys choose among questions, or say how the stage is run.
WRITING_KEYS = (
    *("text", "vision", "kinds", "tries", "solved_from", "rounds"),
    *("frames", "size", "max_answer_tokens"),
)
CHOOSING_KEYS = ("benchmark_fraction", "benchmark", "training", "reviews", "only_accepted")


def prompt_files(how: OwnBenchmark) -> list[Path]:
    """The prompt of each step."""
    return [Path(how.prompts) / f"{step}.md" for step in PROMPTS]
