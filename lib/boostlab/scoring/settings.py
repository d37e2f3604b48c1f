"""Settings of ``score.ipynb``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from boostlab.cluster.settings import ClusterSettings
from boostlab.data.locations import check_location, find_scheme, is_local, is_query
from boostlab.data.settings import Connection, Read, Where
from boostlab.registry.settings import Versioned


def _check_rows(name: str) -> str:
    """Check that the file exists, or can exist elsewhere, before anything runs."""
    return check_location(name) if name else name


class Score(Versioned, ClusterSettings):
    """The parameters of ``score.ipynb``."""

    rows: Annotated[str, AfterValidator(_check_rows)]
    output: Annotated[str, Field(pattern=r"^$|\.(csv|parquet)$", description="a file that ends in .csv or .parquet")]
    probabilities: bool
    reasons: Annotated[int, Field(ge=0, le=1000)] = 0
    chunk_rows: Annotated[int, Field(ge=1, le=10_000_000)]
    read: Read = Field(default_factory=dict)
    where: Where = ""
    connection: Connection = ""
    trust_code: bool = False

    @model_validator(mode="after")
    def _need_rows_and_model(self) -> Self:
        if bool(self.model) != bool(self.rows):
            raise ValueError(f"{'rows' if self.model else 'model'} is missing: name both, as -p model NAME -p rows FILE.")
        if self.rows and not is_local(self.rows) and not self.output:
            raise ValueError(f"{self.rows} is not a file of this machine: name the file to write, as -p output FILE.")
        if self.connection and not is_query(self.rows):
            raise ValueError(
                f"connection is for a query, and rows = {self.rows!r} is none: write sql:SELECT …, or leave it empty."
            )
        if self.is_distributed and self.trust_code:
            raise ValueError(
                f"trust_code runs the model's own code, which works in this process only: leave {self.cluster_parameter} out."
            )
        if find_scheme(self.output):
            raise ValueError(f"output = {self.output!r} is an address. It takes a file of this machine: copy it on from there.")
        return self
