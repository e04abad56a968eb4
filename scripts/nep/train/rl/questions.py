"""The questions of a training: prompts with and without their videos, from the rows of its data sets."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nep.config.grpo import Grpo
from nep.data.selection import second_part, select_grpo
from nep.errors import InputError
from nep.model.samples import VIDEO_MARK, Sample, SampleBuilder, video_keys
from nep.model.vision_cache import VisionCache
from nep.rows.dataset import GrpoRow
from nep.train.rl.rewards import Row


@dataclass(frozen=True)
class Question:
    """A prompt, the same one without its video, and the row that they come from, as a user's rewards take it.

    Its answer is a letter or a text. `with_part`: the prompt with the part by which the visual gain is measured; None
    where it is not, or its video has no such part.
    """

    prompt: Sample
    text_only: Sample
    row: Row
    with_part: Sample | None = None

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.row["answer"]


def load_questions(
    grpo: Grpo, seed: int, files: dict[str, Path], builder: SampleBuilder, cache: VisionCache
) -> tuple[list[Question], list[Question], int]:
    """Questions of the train part (at most N of a set) and of the validation part, and how many rows have no video.

    Raises InputError for a prompt above `max_prompt_tokens`, and when no question is left to train on.
    """
    rows = list(itertools.chain.from_iterable(select_grpo(files, grpo, grpo.validation_samples, seed).values()))
    usable = [row for row in rows if all(key in cache for key in video_keys(row))]
    parts: dict[str, list[Question]] = {"train": [], "validation": []}
    for row in usable:
        prompt = _prompt(builder, row, row.problem, video_keys(row), grpo)
        text_only = _prompt(builder, row, row.problem.replace(VIDEO_MARK, ""), (), grpo)
        part = with_part(row, prompt, grpo, builder, cache) if row.part == "train" else None
        parts[row.part].append(Question(prompt, text_only, row.to_json(), part))
    if not parts["train"]:
        raise InputError(
            f"grpo.datasets: no question left of {len(rows)} rows in {', '.join(map(str, files.values()))}"
        )
    return parts["train"], parts["validation"], len(rows) - len(usable)


def with_part(row: GrpoRow, prompt: Sample, grpo: Grpo, builder: SampleBuilder, cache: VisionCache) -> Sample | None:
    """The prompt by which a question's visual gain is measured; None where it is not, or its clip is not in the cache.

    A question about a whole video is shown what it asks for, as it is.
    """
    if grpo.visual_gain is None:
        return None
    if grpo.visual_gain.part == "first" or row.view != "first":
        return prompt
    second = second_part(row)
    if not all(key in cache for key in video_keys(second)):
        return None
    told = "\n".join(filter(None, [grpo.visual_gain.told, row.problem.replace(VIDEO_MARK, "")]))
    return _prompt(builder, row, VIDEO_MARK + told, video_keys(second), grpo)


def _prompt(builder: SampleBuilder, row: GrpoRow, content: str, keys: Sequence[str], grpo: Grpo) -> Sample:
    """A question as a prompt. Raises InputError where it is above `max_prompt_tokens`."""
    prompt = builder.prompt(row.id, [{"role": "user", "content": content}], keys)
    if len(prompt) > grpo.max_prompt_tokens:
        raise InputError(
            f"record {prompt.id}: {len(prompt)} prompt tokens, above grpo.max_prompt_tokens = "
            f"{grpo.max_prompt_tokens}; raise it, or lower the frame or pixel budget in 'vision'"
        )
    return prompt
