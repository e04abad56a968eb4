"""The block `grpo`."""

import re
from typing import Literal, get_args

from pydantic import Field, FiniteFloat, field_validator, model_validator

from nep.config.base import Block, Fraction
from nep.config.question_filters import Bounds, Difficulty, VisualGain, ordered
from nep.config.training import (
    Datasets,
    LearningRate,
    Schedule,
    Training,
    ValidateEvery,
    WarmupRatio,
    WeightDecay,
)
from nep.errors import did_you_mean

AdvantageName = Literal["group_std", "group_mean", "leave_one_out"]
LossMean = Literal["token", "sequence", "constant"]
KlName = Literal["k1", "k2", "k3"]
BuiltInReward = Literal["letter", "format", "think_length", "similarity", "event_chain", "chain_length"]

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Mismatch(Block):
    """How the loss makes up for an engine whose log-probs are not the trainer's; r is trainer over engine."""

    correct: Literal["truncate", "mask"] = Field(
        "truncate",
        description="Weight of the policy loss: min(r, `high`) (TIS), or r where it lies in [`low`, `high`] and else 0 "
        "(IcePop, MIS).",
    )
    level: Literal["token", "sequence"] = Field(
        "token", description="Whether r is that of each token or the product over its completion."
    )
    low: float = Field(0.5, gt=0, lt=1, description="Lowest r that `mask` lets pass.")
    high: float = Field(2.0, gt=1, description="Highest r that `mask` lets pass, and highest weight of `truncate`.")


class Grpo(Training):
    """Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300) with the published settings as defaults."""

    datasets: Datasets = Field({"next_event_mc": None})
    lr: LearningRate = 1e-6
    schedule: Schedule = "constant"
    warmup_ratio: WarmupRatio = 0.0
    weight_decay: WeightDecay = 0.01
    steps: int = Field(125, ge=1, description="Number of steps.")
    prompts_per_step: int = Field(16, ge=1, description="Questions in a step, over all processes.")
    completions: int = Field(8, ge=2, description="Completions sampled for each question: the size of a group.")
    temperature: float = Field(1.0, gt=0, description="Temperature of sampling.")
    rollout: Literal["own", "vllm"] = Field(
        "own", description="What writes completions: the trainer itself, or vLLM in an environment of its own."
    )
    rollout_environment: str = Field(".venv-vllm", description="Folder of the environment that vLLM is installed in.")
    rollout_gpus: Literal["shared", "own"] = Field(
        "shared",
        description="GPUs of vLLM: each trainer shares its own with it and has it sleep during updates, or a node has "
        "as many more (vLLM then has the second half of them).",
    )
    rollout_timeout_s: int = Field(
        1800, ge=1, description="Seconds in which vLLM must have started, and must answer; later the run ends."
    )
    max_prompt_tokens: int = Field(4096, ge=16, description="Most tokens of a question; a longer one ends the run.")
    max_new_tokens: int = Field(2048, ge=1, description="Most tokens of a completion.")
    advantages: AdvantageName = Field(
        "group_std",
        description="How a group's rewards become advantages: less their mean and over their standard deviation, less "
        "their mean (Dr. GRPO), or less the mean of the others (RLOO).",
    )
    loss_mean: LossMean = Field(
        "token",
        description="Over what the loss is averaged: all tokens of the step (DAPO), each sequence and then the "
        "sequences (GRPO), or the constant completions · `max_new_tokens` (Dr. GRPO).",
    )
    ratio: Literal["token", "sequence"] = Field(
        "token",
        description="Importance ratio of each token, or of a whole sequence (GSPO), which needs a far smaller "
        "`clip_low` and `clip_high`.",
    )
    clip_low: float = Field(0.2, gt=0, lt=1, description="The ratio is clipped below 1 - clip_low.")
    clip_high: float = Field(0.2, gt=0, description="The ratio is clipped above 1 + clip_high.")
    dual_clip: float | None = Field(
        None,
        gt=1,
        description="Where the advantage is negative, the loss is at most this many times its size (dual-clip PPO; "
        "null: no bound).",
    )
    mismatch: Mismatch | None = Field(
        None,
        description="Importance weights for an engine whose log-probs differ from the trainer's (null: none).",
    )
    engine_gap: float | None = Field(
        None,
        gt=0,
        description="Largest mean difference, in nats, between an engine's and the trainer's log-probs of the same "
        "tokens; above it the run ends and says which fault it looks like (null: 0.0005 in fp32, 0.05 in bf16).",
    )
    kl: KlName = Field("k3", description="Estimator of the KL divergence from the start model.")
    kl_coef: float = Field(1e-2, ge=0, description="Weight of the KL divergence in the loss.")
    entropy_coef: float = Field(1e-3, ge=0, description="Weight of the entropy bonus in the loss.")
    refill_rounds: int = Field(
        0, ge=0, description="How often in a step groups without signal are replaced (DAPO's dynamic sampling)."
    )
    refill_accuracy: Bounds | None = Field(
        None,
        description="Share of right letters of a group that is not replaced, at least and at most (null: any, as long "
        "as its rewards differ); needs `refill_rounds`.",
    )
    difficulty: Difficulty | None = Field(None, description="Choose the questions by their difficulty (null: ask all).")
    visual_gain: VisualGain | None = Field(
        None, description="Choose the questions by what their video adds (null: ask all)."
    )
    order: Literal["random", "by_hops"] = Field(
        "random",
        description="Order of the run's questions; `by_hops` asks the same ones by their number of events, the fewest "
        "first.",
    )
    overlong_buffer: int = Field(
        0, ge=0, description="Tokens before the limit over which a penalty grows to 1 (DAPO; 0: none)."
    )
    shuffled_bonus: float = Field(
        0.0, ge=0, description="T-GRPO's reward for right answers that the order of the frames helped."
    )
    rewards: dict[str, FiniteFloat] = Field(
        {"letter": 1.0},
        description=f"Weights of rewards by name: {', '.join(f'`{name}`' for name in get_args(BuiltInReward))}, or "
        "`package.module:function`, a Python function of (completion, answer, row) below the folder that the run is "
        "started in.",
    )
    think_words: tuple[int, int] = Field((10, 300), description="Fewest and most words for the reward `think_length`.")
    chain_events: int = Field(
        3, ge=1, description="Number of events in a chain for which the reward `chain_length` is highest."
    )
    on_reward_error: Literal["stop", "zero"] = Field(
        "stop", description="What an error in a reward function does: end the run, or count as reward 0."
    )
    entropy_floor: Fraction = Field(
        0.1, description="Share of the first step's entropy below which a warning is printed."
    )
    validate_every: ValidateEvery = 25
    validation_samples: int = Field(
        128,
        ge=0,
        description="Held-out questions of each data set that validation asks, each with and without its video.",
    )

    @field_validator("rewards")
    @classmethod
    def _rewards_have_names(cls, rewards: dict[str, float]) -> dict[str, float]:
        built_in = list(get_args(BuiltInReward))
        for name in rewards:
            if name not in built_in and not IMPORT_PATH.fullmatch(name):
                hint = did_you_mean(name, built_in) or f"there are {', '.join(built_in)}"
                raise ValueError(f"no reward {name!r}; {hint} (your own: package.module:function)")
        return rewards

    _refill_accuracy_is_ordered = field_validator("refill_accuracy")(ordered)

    @model_validator(mode="after")
    def _questions_can_be_chosen(self) -> "Grpo":
        if self.refill_accuracy is not None and not self.refill_rounds:
            raise ValueError("refill_accuracy: no group is replaced while refill_rounds is 0")
        if self.order == "by_hops" and self.difficulty and self.difficulty.refresh_every:
            raise ValueError(
                "order 'by_hops' sorts the questions of the whole run, and difficulty.refresh_every changes them on "
                "the way; leave out one of them"
            )
        return self

    @model_validator(mode="after")
    def _bounds_are_possible(self) -> "Grpo":
        fewest, most = self.think_words
        if not 0 <= fewest <= most:
            raise ValueError(f"think_words {list(self.think_words)}: needs 0 <= fewest <= most")
        if self.overlong_buffer > self.max_new_tokens:
            raise ValueError(
                f"overlong_buffer ({self.overlong_buffer}) must not exceed max_new_tokens ({self.max_new_tokens})"
            )
        return self

    @model_validator(mode="after")
    def _an_engine_is_there_to_differ(self) -> "Grpo":
        given = [key for key in ("mismatch", "engine_gap") if getattr(self, key) is not None]
        if given and self.rollout == "own":
            raise ValueError(
                f"{given[0]} is for an engine that is another program than the trainer; take it out, or set rollout to "
                "'vllm'"
            )
        return self

    @property
    def gap_bound(self) -> float:
        """Largest mean difference of log-probs, in nats, with which an engine may go on."""
        return self.engine_gap or {"fp32": 5e-4, "bf16": 0.05}[self.precision]

    @property
    def engine_environment(self) -> str | None:
        """Folder of the environment of an engine that writes the completions; None where the trainer does."""
        return self.rollout_environment if self.rollout == "vllm" else None

    @property
    def shows_second_parts(self) -> bool:
        """Whether the second parts of videos are shown, to measure what they add to a question."""
        return self.visual_gain is not None and self.visual_gain.part == "second"

    @property
    def reward_modules(self) -> list[str]:
        """Files of the user's own reward functions, relative to the folder that the run is started in."""
        return sorted({name.partition(":")[0].replace(".", "/") + ".py" for name in self.rewards if ":" in name})
