"""Settings of ``compare.ipynb``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from boostlab.notebook.settings import ModelName, Tracked


class Compare(Tracked):
    """The parameters of ``compare.ipynb``. Runs of `experiment`, the comparison's own, are compared only on request."""

    experiments: list[str]
    runs: list[str]
    notebook: str
    search: str
    study: str
    metric: Annotated[str, Field(pattern=r"^[\w\-. :/]*$", description="a metric's name")]
    direction: Literal["auto", "lower", "higher"]
    how_many: Annotated[int, Field(ge=2, le=1000)]
    top: Annotated[int, Field(ge=1, le=10)]
    champion: str
    challenger: str
    register_as: ModelName

    @model_validator(mode="after")
    def _runs_are_chosen_in_one_way(self) -> Self:
        if self.runs and (self.experiments or self.search):
            raise ValueError("runs names the runs to compare: leave experiments and search out, which would choose others.")
        if self.runs and self.study:
            raise ValueError("runs names the runs to compare: leave study out, which would choose others.")
        return self
