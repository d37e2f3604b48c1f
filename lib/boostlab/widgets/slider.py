"""A slider over the values of a number's range: evenly spaced, or on a logarithmic scale that may begin with zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets
from pydantic.fields import FieldInfo

from boostlab.notebook.explanation import find_bounds
from boostlab.notebook.settings import LOG

STEPS = 100  # of an evenly spaced slider
DIGITS = (1, 1.5, 2, 3, 5, 7)  # of each power of ten on a logarithmic scale
EXPONENTS = range(-3, 3)
LONGEST = 1000  # whole numbers


class Slider(anywidget.AnyWidget):
    """A native slider; `position` is the index of its value in `stops`."""

    _esm = Path(__file__).with_name("slider.js")
    label = traitlets.Unicode().tag(sync=True)
    stops = traitlets.List(traitlets.Float()).tag(sync=True)
    position = traitlets.Int().tag(sync=True)

    @property
    def value(self) -> float:
        """The number at the slider's position."""
        return float(self.stops[self.position])

    def follow(self, value: Any) -> None:
        """Move to the stop that is nearest to a number; stay if it is no number."""
        if isinstance(value, int | float) and value == value:
            self.position = min(range(len(self.stops)), key=lambda at: abs(self.stops[at] - value))


def find_stops(rule: FieldInfo) -> list[float]:
    """Return the values that a slider offers for a number of this range; none if the range does not fit a slider.

    Examples
    --------
    >>> from boostlab.training.settings import Train
    >>> find_stops(Train.model_fields["eta"])[:5], find_stops(Train.model_fields["max_depth"])
    ([0.0, 0.001, 0.0015, 0.002, 0.003], [])
    """
    bounds = find_bounds(rule)
    lower, upper = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if rule.json_schema_extra == LOG:
        steps = [round(digit * 10.0**exponent, 4) for exponent in EXPONENTS for digit in DIGITS]
        stops = [0.0, *steps, 10.0 ** (EXPONENTS[-1] + 1)]
    elif lower is None or upper is None or (rule.annotation is int and upper - lower > LONGEST):
        return []
    else:
        step = 1 if rule.annotation is int else (upper - lower) / STEPS
        stops = [round(lower + step * place, 10) for place in range(round((upper - lower) / step) + 1)]
    above = [stop for stop in stops if "gt" not in bounds or stop > bounds["gt"]]
    return [stop for stop in above if stop < bounds.get("lt", float("inf")) and stop <= bounds.get("le", float("inf"))]
