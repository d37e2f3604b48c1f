"""Axes of a sweep's figures: values that span decades, a few that are far worse than the others, numbers of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from boostlab.display.figures import MOST_POINTS, scale_log, shorten_label, shorten_names
from boostlab.display.numbers import format_number
from boostlab.evaluation.metric_names import label_metric
from boostlab.sweep.ranking import Column, spans_decades
from boostlab.sweep.trial import Objective

Array = np.ndarray[Any, Any]
FAR = 5.0  # times the distance within which nine of ten trials are from the best one: a worse trial is drawn on the edge
MOST_DIGITS = 12


@dataclass(frozen=True)
class Scale:
    """The ends of an axis of values, and how many values are beyond them."""

    low: float
    high: float
    beyond: int = 0

    def clip(self, values: Sequence[float] | Array) -> Array:
        """Return values with those beyond the axis moved onto its edge."""
        return np.asarray(np.clip(np.asarray(values, float), self.low, self.high))


def scale_values(
    axes: Axes,
    values: Sequence[float],
    direction: Literal["minimize", "maximize"],
    *,
    also: Sequence[float] = (),
    side: bool = True,
) -> Scale:
    """Give an axis a scale on which most values of a metric can be told apart, and return it.

    It is logarithmic if the values span decades. Else the few that are far worse than all others are beyond the axis.

    Parameters
    ----------
    also : sequence of float
        More numbers that have to be on the axis, such as the ends of an interval.
    side : bool
        The axis is the y axis; else the x axis.
    """
    known = np.array([*values, *also], float)
    low, high = known.min(), known.max()
    if spans_decades([*known]):
        scale_log(axes, low, high, side=side)
        scale = Scale(low, high)
        room = (high / low) ** 0.04 if high / low < 1e300 else 10.0
        low, high = low / room, high * room
    else:
        scale = _cut(np.asarray(values, float), direction, also=also)
        low, high = scale.low, scale.high
        room = 0.05 * (high / 2 - low / 2) * 2 or 0.05 * abs(high) or 1.0
        low, high = low - room, high + room
        show_numbers(axes, low, high, side=side)
    (axes.set_ylim if side else axes.set_xlim)(low, high)
    return scale


def show_numbers(axes: Axes, low: float, high: float, *, side: bool) -> None:
    """Label the ticks of a linear axis with as many digits as distinguish them, without an offset that is added to all."""
    largest = max(abs(low), abs(high))
    step = (high / 2 - low / 2) / 4
    digits = min(MOST_DIGITS, max(4, ceil(log10(largest / step)) + 1)) if step > 0 and largest > 0 else 4
    axis = axes.yaxis if side else axes.xaxis
    axis.set_major_locator(MaxNLocator(6 if side else 4))
    axis.set_major_formatter(lambda value, _: _format(value, digits, step))


def scale_column(axes: Axes, column: Column, *, side: bool = False) -> None:
    """Give an axis the scale of a parameter: logarithmic, linear, or the names of its categories."""
    places = column.to_places()
    if not column.is_number:
        names, at = shorten_names(column.distinct, 14), range(len(column.distinct))
        (axes.set_yticks if side else axes.set_xticks)(at, names)
        (axes.set_ylim if side else axes.set_xlim)(-0.5, len(column.distinct) - 0.5)
        return
    low, high = places.min(), places.max()
    if column.is_log:
        scale_log(axes, low, high, side=side)
        room = (high / low) ** 0.04
        low, high = low / room, high * room
    else:
        room = 0.04 * (high - low) or 0.5
        low, high = low - room, high + room
        show_numbers(axes, low, high, side=side)
        if all(isinstance(value, int) for value in column.values):
            (axes.yaxis if side else axes.xaxis).set_major_locator(MaxNLocator(4, integer=True))
    (axes.set_ylim if side else axes.set_xlim)(low, high)


def show_metric(objective: Objective, *, unit: bool = True) -> str:
    """Return a metric's name with the better direction and, if asked for and known, its unit, as a label shows it."""
    name, side = (
        label_metric(objective.metric) if unit else objective.metric,
        "lower" if objective.direction == "minimize" else "higher",
    )
    return f"{shorten_label(name, 60)}, {side} is better"


def point_look(count: int) -> dict[str, Any]:
    """Return how points are drawn: many as one image, small and with plain edges, which makes the picture smaller."""
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 5, "markeredgewidth": 0, "alpha": 0.8}
    many = {"marker": "s", "markersize": 2, "alpha": 1.0, "antialiased": False, "rasterized": True}
    return look | many if count > MOST_POINTS else look


def join_notes(name: str, scale: Scale) -> str:
    """Return the name of an axis; with values beyond an axis of values, their number too."""
    if not scale.beyond:
        return name
    return f"{name} ({scale.beyond:,} far worse value{'s' if scale.beyond > 1 else ''} drawn on the edge)"


def _cut(values: Array, direction: str, *, also: Sequence[float]) -> Scale:
    """Return the ends of a linear axis: of all values, without the few that are far worse."""
    sign = 1.0 if direction == "minimize" else -1.0
    costs = np.sort(sign * values)
    near = costs[ceil(0.9 * len(costs)) - 1]
    limit = costs[0] + 1.5 * (near / 2 - costs[0] / 2) * 2
    if near > costs[0] and costs[-1] / 2 - costs[0] / 2 > FAR * (near / 2 - costs[0] / 2):
        beyond = int((costs > limit).sum())
        ends = sign * costs[0], sign * limit, *(number for number in also if sign * number <= limit)
    else:
        beyond, ends = 0, (*(sign * costs), *also)
    return Scale(float(min(ends)), float(max(ends)), beyond)


def _format(value: float, digits: int, step: float) -> str:
    if abs(value) < step / 1e6:
        return "0"
    return format_number(value) if digits <= 4 else f"{value:.{digits}g}"
