"""The one typed source of the configuration: every key, its type, its default and its bounds.

`config/schema.json` is generated from it (`python tools/write_config_schema.py`). A stage's entry point gets its own
block as JSON and reads it back with the class of that block.
"""

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from nep.errors import InputError, did_you_mean

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Variant = Literal["direct", "reason"]
Part = Literal["vision_tower", "projector", "language_model"]
VideoControl = Literal["shuffled_frames", "constant_frame"]
Control = Literal[VideoControl, "text_only"]
AdvantageName = Literal["group_std", "group_mean", "leave_one_out"]
LossMean = Literal["token", "sequence", "constant"]
KlName = Literal["k1", "k2", "k3"]
BuiltInReward = Literal["letter", "format", "think_length", "similarity"]
TrackerName = Literal["none", "tensorboard", "wandb", "trackio"]
Backend = Literal["hf", "vllm", "sglang"]
SeedLevel = Literal["l1", "l2", "l3"]
SeedBenchmark = Literal["seedbench_r1_l1", "seedbench_r1_l2", "seedbench_r1_l3"]
LmmsEvalBenchmark = Literal["videomme", "mvbench", "longvideobench_val_v", "tempcompass", "temporalbench"]
Benchmark = Literal["futurebench", SeedBenchmark, LmmsEvalBenchmark]
SEEDBENCH = "seedbench_r1"

# A change of these runs nothing again.
HOW_IT_IS_RUN = frozenset({"nodes", "processes", "checkpoint_every", "keep_checkpoints", "tracker", "concurrent"})
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Block(BaseModel):
    """A config block: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def result_settings(self) -> dict[str, Any]:
        """The block as JSON values, without the keys that decide nothing but how a stage is run (`HOW_IT_IS_RUN`)."""
        dumped = self.model_dump(mode="json")
        return {name: _result_value(value, dumped[name]) for name, value in self if name not in HOW_IT_IS_RUN}


def _result_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, Block):
        return value.result_settings()
    if isinstance(value, dict):
        return {key: _result_value(item, dumped[key]) for key, item in value.items()}
    return dumped


Column = Literal[
    "video_path",
    "split_time",
    "split_scene",
    "caption",
    "caption_part1",
    "caption_part2",
    "events",
    "mc_qa",
    "oe_qa",
    "reasoning",
    "prediction",
    "critique",
    "conclusion",
]


class Source(Block):
    """Where the data set comes from.

    A hub repository at a pinned revision; a local folder in the hub's layout; or a table (CSV, JSON, JSONL, parquet)
    of annotations in a local folder of plain video files, whose `columns` may have other names. `seedbench_r1` names
    the annotation files of SeedBench-R1's levels, whose videos and images lie where the others do.
    """

    kind: Literal["folder", "hub", "table"]
    path: str | None = None
    repo: str | None = None
    revision: str | None = None
    annotations: str = "next_event_prediction.json"
    questions: str | None = "futurebench.json"
    seedbench_r1: dict[SeedLevel, str] = {}
    columns: dict[Column, str] = {}
    archives: list[str] = ["video_data_part*.tar.gz"]
    keep_archives: bool = True

    @model_validator(mode="after")
    def _names_its_place(self) -> "Source":
        if self.columns and self.kind != "table":
            raise ValueError("'columns' belongs to kind 'table'; the other kinds have the hub's layout")
        return _check_place(self)


class Model(Block):
    """Where the base model comes from: a hub repository at a pinned revision, or a local checkpoint folder."""

    kind: Literal["folder", "hub"]
    path: str | None = None
    repo: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _names_its_place(self) -> "Model":
        return _check_place(self)


class DemoVideos(Block):
    """The demo's data set, made below `results/<run>/hub`: how many videos, and of what size."""

    train: int = Field(600, ge=1)
    test: int = Field(60, ge=1)
    archives: int = Field(2, ge=1)
    questions_per_video: int = Field(4, ge=1, le=4)
    size: int = Field(168, ge=56, multiple_of=2)
    fps: int = Field(12, ge=4)
    processes: int = Field(2, ge=1)


class TinyModel(Block):
    """The demo's base model, made in `results/<run>/tiny_model`: a Qwen2.5-VL of a few million parameters.

    Its short pre-training teaches the multiple-choice form and the naming of still frames; no next events.
    """

    hidden_size: int = Field(128, ge=32, multiple_of=32)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    vision_hidden_size: int = Field(64, ge=16)
    vision_layers: int = Field(2, ge=1)
    pretrain_steps: int = Field(400, ge=0)
    pretrain_batch: int = Field(64, ge=1)
    pretrain_lr: float = Field(1e-3, gt=0)
    pretrain_matrix_lr: float = Field(2e-3, gt=0)
    threads: int = Field(2, ge=1)


class Demo(Block):
    """What the demo makes for itself; `source.path` and `model.path` then name the folders that it is made in."""

    videos: DemoVideos | None = None
    model: TinyModel | None = None


class Split(Block):
    """Cutting each video at its split time.

    `crf` is the quality of the pictures that are encoded anew around a cut; a video that cannot be copied is encoded
    as a whole, with `preset`. `audio: keep` copies the sound where MP4 can hold its codec. A video that ends before its
    file says, or of which pictures do not decode, is cut as far as it goes and noted in the manifest, unless
    `incomplete: quarantine`.
    """

    shards: int = Field(4, ge=1)
    processes: int = Field(2, ge=1)
    timeout_s: float = Field(120, gt=0)
    crf: int = Field(18, ge=0, le=51)
    preset: str = "veryfast"
    audio: Literal["drop", "keep"] = "drop"
    incomplete: Literal["note", "quarantine"] = "note"
    max_quarantine_fraction: Fraction = 0.1


class Vision(Block):
    """The frame and pixel budget: the one block that encode, GRPO and evaluation share.

    `uniform` samples `frames` frames at equal distances; `fps` samples `fps` frames a second, `frames` at most.
    """

    sampling: Literal["uniform", "fps"] = "uniform"
    frames: int = Field(32, ge=2, multiple_of=2)
    fps: float = Field(2.0, gt=0)
    min_pixels: int = Field(3136, ge=784)
    max_pixels: int = Field(16384, ge=784)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Vision":
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) must not exceed max_pixels ({self.max_pixels})")
        return self


class Encode(Block):
    """The cache of sampled frames, and of the vision tower's output where tower and projector are frozen."""

    shards: int = Field(2, ge=1)
    processes: int = Field(2, ge=1)
    timeout_s: float = Field(120, gt=0)
    features: bool = True
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_videos: int = Field(16, ge=1)


class Convert(Block):
    """Making the data sets.

    `hold_out_evaluation_videos` keeps the videos of evaluation questions out of training. Where a training video only
    looks like one of them (distance: 1 - correlation of their pictures), the run stops, or the video is held out too.
    """

    prompts: str = "config/prompts.yaml"
    hold_out_evaluation_videos: bool = True
    near_duplicates: Literal["stop", "hold_out"] = "stop"
    near_duplicate_distance: float = Field(0.015, ge=0, le=2)
    validation_fraction: Fraction = 0.05
    distractors: Literal["same_video", "other_videos"] = "same_video"
    hops: list[Annotated[int, Field(ge=1, le=3)]] = [1, 2]
    cft_wrong_to_right: float = Field(2.1, gt=0)


class Lora(Block):
    """Adapters of the language model's linear layers, trained in the place of its own weights and merged at the end.

    `dora` adds DoRA's trained magnitudes. `modules` are the last names of the layers (null: all but the head).
    """

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dora: bool = False
    modules: list[str] | None = Field(None, min_length=1)


class Training(Block):
    """What SFT and GRPO share: engine, optimiser, precision, checkpoints.

    A step's sequences are packed without padding, at most `pack_tokens` in one row (one forward and backward pass).

    `lr_factors` multiply `lr` for single parts of the model. `decay: matrices` keeps weight decay from biases and
    norms. The newest `keep_checkpoints` checkpoints are kept, and the one that did best in validation: by loss in SFT,
    by accuracy in GRPO. `publish: best` saves a checkpoint at each validation, and makes the best one the result.

    `processes` are those of one of the `nodes`. `tracker` draws the metrics, from files in `results/<run>/trackers`.

    `balance_sources` takes a data set's first N samples from its sources in turn, not from all of them at once.
    """

    balance_sources: bool = False
    deepspeed: str = "config/deepspeed/zero2.json"
    nodes: int = Field(1, ge=1)
    processes: int = Field(1, ge=1)
    threads: int = Field(2, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    freeze: list[Part] = ["vision_tower", "projector"]
    lora: Lora | None = None
    lr_factors: dict[Part, Annotated[float, Field(gt=0)]] = {}
    gradient_checkpointing: bool = False
    pack_tokens: int = Field(16384, ge=1)
    lr: float = Field(gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_ratio: Fraction = 0.1
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["all", "matrices"] = "all"
    grad_clip: float = Field(1.0, gt=0)
    checkpoint_every: int = Field(100, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    validate_every: int = Field(100, ge=1)
    publish: Literal["last", "best"] = "last"
    tracker: TrackerName = "none"

    @model_validator(mode="after")
    def _adapters_can_be_trained(self) -> "Training":
        if self.lora and "language_model" in self.freeze:
            raise ValueError("'lora' trains adapters of the language model; take language_model out of 'freeze'")
        return self

    @property
    def trains_adapters_only(self) -> bool:
        """Whether the model with its adapters switched off is the start model."""
        return self.lora is not None and {"vision_tower", "projector"} <= set(self.freeze)


class Sft(Training):
    """Supervised fine-tuning: `datasets` maps a data set's name to a number of samples (null: all of them).

    Every `validate_every` steps the loss of `validation_samples` held-out samples of each data set is measured.
    """

    datasets: dict[str, int | None] = {"next_event": None}
    lr: float = Field(1e-5, gt=0)
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(16, ge=1)
    max_tokens: int = Field(32768, ge=16)
    validation_samples: int = Field(64, ge=0)
    checkpoint_every: int = Field(100, ge=1)


class Grpo(Training):
    """Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300) with the published settings as defaults.

    `ratio: sequence` is GSPO's and needs its own, far smaller `clip_low` and `clip_high`. `refill_rounds`: how often in
    a step groups without signal are replaced (DAPO); `overlong_buffer`: tokens before the limit over which a penalty
    grows to 1 (DAPO; 0: none); `shuffled_bonus`: T-GRPO's reward for right answers that the order of the frames helped.
    `rewards` has weights by name; `package.module:function` is a Python function of (completion, answer, row) below the
    folder that the run is started in. `think_words`: the bounds of `think_length`. `entropy_floor`: the share of the
    first step's entropy below which a warning comes.
    """

    datasets: dict[str, int | None] = {"next_event_mc": None}
    lr: float = Field(1e-6, gt=0)
    schedule: Literal["cosine", "constant"] = "constant"
    warmup_ratio: Fraction = 0.0
    weight_decay: float = Field(0.01, ge=0)
    steps: int = Field(125, ge=1)
    prompts_per_step: int = Field(16, ge=1)
    completions: int = Field(8, ge=2)
    temperature: float = Field(1.0, gt=0)
    max_prompt_tokens: int = Field(4096, ge=16)
    max_new_tokens: int = Field(2048, ge=1)
    advantages: AdvantageName = "group_std"
    loss_mean: LossMean = "token"
    ratio: Literal["token", "sequence"] = "token"
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    dual_clip: float | None = Field(None, gt=1)
    kl: KlName = "k3"
    kl_coef: float = Field(1e-2, ge=0)
    entropy_coef: float = Field(1e-3, ge=0)
    refill_rounds: int = Field(0, ge=0)
    overlong_buffer: int = Field(0, ge=0)
    shuffled_bonus: float = Field(0.0, ge=0)
    rewards: dict[str, FiniteFloat] = {"letter": 1.0}
    think_words: tuple[int, int] = (10, 300)
    on_reward_error: Literal["stop", "zero"] = "stop"
    entropy_floor: Fraction = 0.1
    validate_every: int = Field(25, ge=1)
    checkpoint_every: int = Field(25, ge=1)

    @field_validator("rewards")
    @classmethod
    def _rewards_have_names(cls, rewards: dict[str, float]) -> dict[str, float]:
        built_in = list(get_args(BuiltInReward))
        for name in rewards:
            if name not in built_in and not IMPORT_PATH.fullmatch(name):
                hint = did_you_mean(name, built_in) or f"there are {', '.join(built_in)}"
                raise ValueError(f"no reward {name!r}; {hint} (your own: package.module:function)")
        return rewards

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

    @property
    def reward_modules(self) -> list[str]:
        """Files of the user's own reward functions, relative to the folder that the run is started in."""
        return sorted({name.partition(":")[0].replace(".", "/") + ".py" for name in self.rewards if ":" in name})


class Experiment(Block):
    """What is trained on what: `sft`, `grpo` or both, each a set of changes to the block of that name."""

    sft: Sft | None = None
    grpo: Grpo | None = None

    @model_validator(mode="after")
    def _trains_something(self) -> "Experiment":
        if self.sft is None and self.grpo is None:
            raise ValueError("an experiment needs 'sft', 'grpo' or both")
        return self


class Endpoint(Block):
    """A model behind an OpenAI-compatible API, evaluated beside the others as a reference.

    `key_from` names the environment variable that holds its key. It is asked from where the workflow is started.
    """

    url: str = Field(pattern=r"^https?://\S+$")
    model: str = Field(min_length=1)
    key_from: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    concurrent: int = Field(8, ge=1)
    timeout_s: int = Field(120, ge=1)


class Evaluate(Block):
    """Evaluation through lmms-eval.

    `tasks`: FutureBench and SeedBench-R1 are asked in all `variants`, FutureBench also with the `controls`; the others
    are lmms-eval's own, whose data lie in the folder `benchmarks`. With `offline` nothing is fetched and no judge
    model is asked: what needs either is left out, and the report says so.

    `backend`: what runs the models; `model_args` are more arguments for it. `processes` share the questions, each with
    the model on a GPU of its own. A model that fails at more than `max_failed_fraction` of the questions ends the run.
    """

    tasks: list[Benchmark] = Field(["futurebench"], min_length=1)
    variants: list[Variant] = Field(["direct", "reason"], min_length=1)
    controls: list[Control] = ["shuffled_frames"]
    backend: Backend = "hf"
    model_args: dict[str, str | int | float | bool] = {}
    device: str = "cuda"
    processes: int = Field(1, ge=1)
    batch_size: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    max_new_tokens: dict[Variant, int] = {"direct": 16, "reason": 2048}
    limit: int | None = Field(None, ge=1)
    max_failed_fraction: Fraction = 0.1
    benchmarks: str | None = None
    offline: bool = True

    @model_validator(mode="after")
    def _engines_share_by_themselves(self) -> "Evaluate":
        if self.processes > 1 and self.backend != "hf":
            raise ValueError(
                f"processes share the questions with backend hf; {self.backend} takes several GPUs by "
                "model_args: {tensor_parallel_size: N}"
            )
        return self

    @model_validator(mode="after")
    def _fetched_data_have_a_folder(self) -> "Evaluate":
        if self.lmms_eval_benchmarks and not self.offline and self.benchmarks is None:
            raise ValueError(f"benchmarks: name the folder that {self.lmms_eval_benchmarks[0]} is fetched to")
        return self

    @model_validator(mode="after")
    def _variants_have_a_length(self) -> "Evaluate":
        for variant in self.variants:
            if variant not in self.max_new_tokens:
                raise ValueError(f"max_new_tokens: no number for the variant {variant!r}")
        return self

    @property
    def video_controls(self) -> list[VideoControl]:
        """The controls that are videos of their own; none where FutureBench is not asked."""
        if "futurebench" not in self.tasks:
            return []
        return [control for control in self.controls if control in get_args(VideoControl)]

    @property
    def seedbench_levels(self) -> list[SeedLevel]:
        """The levels of SeedBench-R1 that are asked."""
        return [level for level in get_args(SeedLevel) if f"{SEEDBENCH}_{level}" in self.tasks]

    @property
    def lmms_eval_benchmarks(self) -> list[LmmsEvalBenchmark]:
        """The benchmarks that are lmms-eval's own."""
        return [task for task in self.tasks if task in get_args(LmmsEvalBenchmark)]


class Report(Block):
    """The page: which variant of the benchmark leads, and how many samples are shown."""

    headline: Variant = "reason"
    examples: int = Field(12, ge=0)
    title: str = "Next-event prediction"


class Config(Block):
    """The whole configuration."""

    run: Name
    seed: int = Field(0, ge=0)
    source: Source
    demo: Demo = Demo()
    model: Model
    split: Split = Split()
    vision: Vision = Vision()
    encode: Encode = Encode()
    convert: Convert = Convert()
    sft: Sft = Sft()
    grpo: Grpo = Grpo()
    experiments: dict[Name, Experiment]
    references: dict[Name, Endpoint] = {}
    evaluate: Evaluate = Evaluate()
    report: Report = Report()

    @field_validator("experiments")
    @classmethod
    def _base_is_taken(cls, experiments: dict[str, Experiment]) -> dict[str, Experiment]:
        if "base" in experiments:
            raise ValueError("'base' names the untrained model; call the experiment something else")
        if not experiments:
            raise ValueError("name at least one experiment")
        return experiments

    @model_validator(mode="after")
    def _models_have_names_of_their_own(self) -> "Config":
        if taken := sorted(set(self.references) & {"base", "controls", *self.trained_models}):
            raise ValueError(f"references.{taken[0]}: a model of this run has that name; call the reference otherwise")
        return self

    @model_validator(mode="after")
    def _asked_levels_have_questions(self) -> "Config":
        if missing := [level for level in self.evaluate.seedbench_levels if level not in self.source.seedbench_r1]:
            raise ValueError(
                f"evaluate.tasks: {SEEDBENCH}_{missing[0]} needs an annotation file, source.seedbench_r1.{missing[0]}"
            )
        return self

    @property
    def trained_models(self) -> list[str]:
        """Names of the trained models, in the order of the experiments."""
        return [
            f"{name}-{stage}"
            for name, experiment in self.experiments.items()
            for stage in ("sft", "grpo")
            if getattr(experiment, stage) is not None
        ]


BlockT = TypeVar("BlockT", bound=Block)
PlacedT = TypeVar("PlacedT", bound=Block)


def load_config(values: dict[str, Any]) -> Config:
    """Check a configuration as read from YAML. Raises InputError with one line for each key that is wrong."""
    merged = {**values, "experiments": _with_defaults(values)}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        lines = "\n".join(f"  {_describe(item)}" for item in error.errors())
        raise InputError(f"configuration:\n{lines}") from None


def load_block(block: type[BlockT], text: str, **how: Any) -> BlockT:
    """Read a config block back from the JSON that the workflow passes to an entry point. Raises InputError.

    `how`: keys of `HOW_IT_IS_RUN`, which come apart from it.
    """
    try:
        return block.model_validate_json(text).model_copy(update=how)
    except ValidationError as error:
        raise InputError(f"config block {block.__name__}: {error}") from None


def _with_defaults(values: dict[str, Any]) -> Any:
    experiments = values.get("experiments")
    if not isinstance(experiments, dict):
        return experiments
    return {name: _experiment_with_defaults(values, body) for name, body in experiments.items()}


def _experiment_with_defaults(values: dict[str, Any], experiment: Any) -> Any:
    if not isinstance(experiment, dict):
        return experiment
    stages = {}
    for stage, changes in experiment.items():
        defaults = values.get(stage)
        mergeable = isinstance(defaults, dict) and isinstance(changes, dict)
        stages[stage] = {**defaults, **changes} if mergeable else changes
    return stages


def _check_place(block: PlacedT) -> PlacedT:
    if block.kind != "hub" and not block.path:
        raise ValueError(f"kind '{block.kind}' needs 'path'")
    if block.kind == "hub" and not (block.repo and block.revision):
        raise ValueError("kind 'hub' needs 'repo' and a pinned 'revision' (a commit hash or a tag)")
    return block


def _describe(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']} (found {item['input']!r})"
    known = _known_keys(item["loc"][:-1])
    hint = did_you_mean(str(item["loc"][-1]), known) or f"known keys: {', '.join(sorted(known))}"
    return f"{place}: unknown key; {hint}"


def _known_keys(place: tuple[Any, ...]) -> list[str]:
    block: type[BaseModel] = Config
    for part in place:
        if part in block.model_fields:
            block = _block_of(block.model_fields[part].annotation) or block
    return list(block.model_fields)


def _block_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _block_of(argument):
            return found
    return None
