"""Settings of a notebook whose work a Dask cluster can share.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from boostlab.notebook.settings import Settings

SCHEDULER = r"^$|^(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):\d{1,5}$"
SchedulerAddress = Annotated[
    str, Field(pattern=SCHEDULER, description="tcp://HOST:PORT, tls://HOST:PORT, or empty: this machine")
]  # of Dask


class ClusterSettings(Settings):
    """Where the workers are: at most one of both is set."""

    workers: Annotated[int, Field(ge=0, le=1000)] = 0
    scheduler: SchedulerAddress = ""

    @property
    def is_distributed(self) -> bool:
        """Whether workers of a Dask cluster share the work."""
        return bool(self.workers or self.scheduler)

    @property
    def cluster_parameter(self) -> str:
        """The parameter that asks for workers."""
        return "workers" if self.workers else "scheduler"

    @model_validator(mode="after")
    def _workers_are_here_or_there(self) -> Self:
        if self.workers and self.scheduler:
            raise ValueError(f"workers = {self.workers} starts workers here, and {self.scheduler} has its own: set one of them.")
        return self
