"""Makes the rewards of `reward.py`, beside this file, known to ms-swift; named by `--external_plugins`."""

from reward import format_reward, letter_reward
from swift.rewards import ORM, orms


class Letter(ORM):
    """1 for the asked form with the right letter; `solution` is the column of that name."""

    def __call__(self, completions: list[str], solution: list[str], **kwargs: object) -> list[float]:
        return [letter_reward(*pair) for pair in zip(completions, solution, strict=True)]


class Form(ORM):
    """1 for the asked form."""

    def __call__(self, completions: list[str], **kwargs: object) -> list[float]:
        return [format_reward(completion) for completion in completions]


orms["nep_letter"] = Letter
orms["nep_format"] = Form
