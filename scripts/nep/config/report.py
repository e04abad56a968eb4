"""The block `report`."""

from typing import Literal

from pydantic import Field

from nep.config.base import Block
from nep.config.questions import Variant


class ChosenTable(Block):
    """A table of chosen models, as a paper has it."""

    title: str = Field(description="What stands above the table.")
    models: dict[str, str] = Field(
        min_length=1, description="Rows: how a model is called there → `base`, or the model, `<experiment>-<stage>`."
    )
    columns: Literal["benchmarks", "splits"] = Field(
        "benchmarks",
        description="Columns: `benchmarks` has the overall accuracy on each, `splits` the first benchmark's by kind of "
        "question.",
    )


class SampleCurve(Block):
    """Accuracy against the number of samples that models were trained on."""

    title: str = Field(description="What stands above the curve.")
    models: list[str] = Field(min_length=1, description="The models on it, each `<experiment>-sft`.")


class Report(Block):
    """The page of results."""

    headline: Variant = Field("reason", description="Which variant of the benchmark leads.")
    examples: int = Field(12, ge=0, description="Number of samples that are shown.")
    notes: dict[Variant, str] = Field(
        {}, description="By variant, a sentence beside its figures: what a reader must know of them."
    )
    title: str = Field("Next-event prediction", description="Title of the page.")
    tables: dict[str, ChosenTable] = Field(
        {}, description="Tables of chosen models before all others, by name; published figures stand beside."
    )
    curves: dict[str, SampleCurve] = Field(
        {}, description="Curves of accuracy against the number of training samples, by name."
    )

    @property
    def named_models(self) -> dict[str, list[str]]:
        """The models that tables and curves name, by the key that names them."""
        tables = {f"report.tables.{name}.models": list(table.models.values()) for name, table in self.tables.items()}
        return tables | {f"report.curves.{name}.models": curve.models for name, curve in self.curves.items()}
