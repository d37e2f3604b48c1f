"""Settings that every lab notebook shares: the experiment, the run name and the store."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from boostlab.notebook.parameters import Settings

Count = Annotated[int, Field(ge=0)]
ModelName = Annotated[str, Field(pattern=r"^$|^[^/:]*[^/:\s][^/:]*$", max_length=256, description="a name without / and :")]


class Tracked(Settings):
    """Where a run is recorded, and under which name."""

    experiment: Annotated[str, Field(pattern=r"\S", max_length=500, description="a name of at most 500 characters")]
    run_name: str
    tracking_uri: str
