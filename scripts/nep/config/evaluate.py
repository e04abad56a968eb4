"""The block `evaluate`."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from nep.benchmarks.registry import FUTUREBENCH, LMMS_EVAL, NAMES
from nep.config.base import Block, Fraction, Precision
from nep.config.questions import Control, Variant, VideoControl
from nep.config.seedbench import SEEDBENCH, SeedLevel

Backend = Literal["hf", "vllm", "sglang"]
Benchmark = Literal[NAMES]


class Evaluate(Block):
    """Evaluation through lmms-eval."""

    tasks: list[Benchmark] = Field(
        [FUTUREBENCH],
        min_length=1,
        description="Benchmarks. FutureBench and SeedBench-R1 are asked in all `variants`, FutureBench also with the "
        "`controls`; the others are lmms-eval's own, whose data lie in the folder `benchmarks`.",
    )
    variants: list[Variant] = Field(
        ["direct", "reason"], min_length=1, description="Whether a letter alone is asked for, or reasoning before it."
    )
    controls: list[Control] = Field(
        ["shuffled_frames"],
        description="What is shown in place of the video, to see whether a model watches: its frames in another order, "
        "one frame throughout, or nothing.",
    )
    backend: Backend = Field("hf", description="What runs the models.")
    vllm_environment: str = Field(
        ".venv-vllm", description="Folder of the environment that vLLM and lmms-eval are installed in."
    )
    precision: Precision = Field("bf16", description="Number format of backend `hf`.")
    quantize: Literal["int8", "nf4"] | None = Field(
        None,
        description="Bits of the language model's weights with backend `hf`: `int8` or `nf4` (4 bits), by "
        "bitsandbytes; null loads them in `precision`.",
    )
    model_args: dict[str, str | int | float | bool] = Field({}, description="More arguments for the backend.")
    device: str = Field("cuda", description="Device of backend `hf`, as PyTorch names it.")
    processes: int = Field(
        1, ge=1, description="Processes that share the questions, each with the model on a GPU of its own."
    )
    batch_size: int = Field(1, ge=1, description="Questions that backend `hf` answers at once.")
    threads: int = Field(1, ge=1, description="CPU threads of a process.")
    max_new_tokens: dict[Variant, int] = Field(
        {"direct": 16, "reason": 2048}, description="Most tokens of an answer, by variant."
    )
    limit: int | None = Field(None, ge=1, description="Number of questions of each task (null: all).")
    max_failed_fraction: Fraction = Field(
        0.1, description="The run stops where a model fails at a larger share of the questions."
    )
    benchmarks: str | None = Field(None, description="Folder with the data of lmms-eval's own benchmarks.")
    offline: bool = Field(
        True,
        description="Whether nothing is fetched and no judge model is asked: what needs either is left out, and the "
        "report says so.",
    )

    @model_validator(mode="after")
    def _engines_share_by_themselves(self) -> "Evaluate":
        if self.precision == "fp32" and self.backend != "hf":
            raise ValueError(
                f"precision is that of backend hf; {self.backend} takes it by model_args: {{dtype: float32}}"
            )
        if self.quantize is not None and self.backend != "hf":
            raise ValueError(
                f"quantize is for backend hf; {self.backend} takes it by model_args: {{quantization: bitsandbytes}}"
            )
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
        if FUTUREBENCH not in self.tasks:
            return []
        return [control for control in self.controls if control in get_args(VideoControl)]

    @property
    def seedbench_levels(self) -> list[SeedLevel]:
        """The levels of SeedBench-R1 that are asked."""
        return [level for level in get_args(SeedLevel) if f"{SEEDBENCH}_{level}" in self.tasks]

    @property
    def lmms_eval_benchmarks(self) -> list[str]:
        """The benchmarks that are lmms-eval's own."""
        return [task for task in self.tasks if task in LMMS_EVAL]
