"""Settings of ``score.ipynb``."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from boostlab.data.settings import Read
from boostlab.errors import locate
from boostlab.registry.settings import Versioned


def _check_rows(name: str) -> str:
    """Check that the file exists before anything runs."""
    if name and not Path(name).expanduser().exists() and not glob.glob(str(Path(name).expanduser()), recursive=True):
        raise ValueError(f"there is no file {locate(name)}. Correct the path.")
    return name


class Score(Versioned):
    """The parameters of ``score.ipynb``."""

    rows: Annotated[str, AfterValidator(_check_rows)]
    output: Annotated[str, Field(pattern=r"^$|\.(csv|parquet)$", description="a file that ends in .csv or .parquet")]
    probabilities: bool
    reasons: Annotated[int, Field(ge=0, le=1000)] = 0
    chunk_rows: Annotated[int, Field(ge=1, le=10_000_000)]
    read: Read = Field(default_factory=dict)
    trust_code: bool = False

    @model_validator(mode="after")
    def _need_rows_and_model(self) -> Self:
        if bool(self.model) != bool(self.rows):
            raise ValueError(f"{'rows' if self.model else 'model'} is missing: name both, as -p model NAME -p rows FILE.")
        return self
