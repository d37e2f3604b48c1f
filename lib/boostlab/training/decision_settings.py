"""Settings of what a classification decides: its positive class, its probabilities, and when they are enough.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from boostlab.notebook.settings import LOG, Settings

FLOOR = re.compile(r"(precision|recall)\s*>=\s*([\d.]+)")
RULES = "empty, a number between 0 and 1, f1, mcc, 'precision >= 0.9', 'recall >= 0.8' or cost"


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is found."""

    name: str  #: ``number``, ``f1``, ``mcc``, ``precision``, ``recall`` or ``cost``
    value: float = 0.0  #: of a number the threshold itself, of precision and recall the floor

    @classmethod
    def read(cls, text: str) -> ThresholdRule:
        """Return the rule that a text names, or raise a ValueError.

        Examples
        --------
        >>> ThresholdRule.read("precision >= 0.9")
        ThresholdRule(name='precision', value=0.9)
        """
        if text in ("f1", "mcc", "cost"):
            return cls(text)
        found = FLOOR.fullmatch(text)
        try:
            name, value = (found[1], float(found[2])) if found else ("number", float(text))
        except ValueError:
            raise ValueError(f"no rule for a threshold. Allowed: {RULES}.") from None
        if not (0 < value < 1 or (found and value == 1)):
            raise ValueError(f"out of range. Allowed: {RULES}.")
        return cls(name, value)


def _to_text(value: Any) -> Any:
    """Return numbers and booleans as text: papermill reads ``-p threshold 0.3`` as a number."""
    return str(value) if isinstance(value, bool | int | float) else value


def _check_rule(text: str) -> str:
    if text:
        ThresholdRule.read(text)
    return text


Word = Annotated[str, BeforeValidator(_to_text)]
Cost = Annotated[float, Field(ge=0, json_schema_extra=LOG)]


class DecisionSettings(Settings):
    """What a classification decides; a regression takes the defaults alone."""

    positive_label: Word = ""
    class_weight: Literal["none", "balanced"] = "none"
    calibrate: Literal["none", "sigmoid", "isotonic"] = "none"
    threshold: Annotated[Word, AfterValidator(_check_rule)] = ""
    cost_false_positive: Cost = 1.0
    cost_false_negative: Cost = 1.0

    @property
    def requested_decisions(self) -> dict[str, str]:
        """The requested decisions, by the names of their parameters."""
        names = {"positive_label": "", "class_weight": "none", "calibrate": "none", "threshold": ""}
        return {name: getattr(self, name) for name, default in names.items() if getattr(self, name) != default}

    @property
    def has_decision(self) -> bool:
        """Whether something is to be chosen on the validation rows."""
        return self.calibrate != "none" or bool(self.threshold)

    @property
    def threshold_rule(self) -> ThresholdRule | None:
        """The rule of `threshold`; None: the more probable class is the answer."""
        return ThresholdRule.read(self.threshold) if self.threshold else None

    @model_validator(mode="after")
    def _costs_decide(self) -> Self:
        costs = f"cost_false_positive = {self.cost_false_positive:g} and cost_false_negative = {self.cost_false_negative:g}"
        if self.threshold == "cost":
            if self.cost_false_positive == self.cost_false_negative == 0:
                raise ValueError(f"{costs}: no answer would cost anything. State at least one of them above 0.")
        elif (self.cost_false_positive, self.cost_false_negative) != (1, 1):
            raise ValueError(f"{costs} are for the threshold that costs least: -p threshold cost.")
        return self
