"""Settings: the checked values of a notebook's parameters, and the fields that every lab notebook shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import pydantic
from pydantic import Field

from boostlab.errors import ParameterError
from boostlab.notebook.explanation import explain_errors

LOG = {"scale": "log"}  # as a field's `json_schema_extra`: people choose its values by ratios, so that a slider is logarithmic
Count = Annotated[int, Field(ge=0)]
ModelName = Annotated[str, Field(pattern=r"^$|^[^/:]*[^/:\s][^/:]*$", max_length=256, description="a name without / and :")]


class Settings(pydantic.BaseModel):
    """Checked values of a notebook's parameters: immutable, strictly typed, without NaN or infinity."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings with these values.

        Parameters
        ----------
        values : mapping of str to object
            At least one value for each field without a default. Other names are ignored: a notebook can pass its ``globals()``.

        Raises
        ------
        ParameterError
            If a value is missing, ill-typed or out of range. The message names every such value.
        """
        missing = [name for name, field in cls.model_fields.items() if field.is_required() and name not in values]
        if missing:
            raise ParameterError(f"No value for {', '.join(missing)}: run the notebook's parameters cell first.")
        try:
            return cls(**{name: values[name] for name in cls.model_fields if name in values})
        except pydantic.ValidationError as error:
            raise ParameterError(explain_errors(cls, error)) from None


class Tracked(Settings):
    """Where a run is recorded, and under which name."""

    experiment: Annotated[str, Field(pattern=r"\S", max_length=500, description="a name of at most 500 characters")]
    run_name: str
    tracking_uri: str
