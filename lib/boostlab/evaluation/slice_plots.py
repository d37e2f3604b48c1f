"""A figure of the slices of a test part."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, ORANGE, REFERENCE, finish_axes, make_axes, shorten_label
from boostlab.evaluation.slices import MOST_SHOWN, Slices


def plot_slices(slices: Slices, *, axes: Axes | None = None) -> Figure | None:
    """Draw the metric of the first slices with its interval, next to that of all rows; None if there is no slice."""
    shown = slices.slices[:MOST_SHOWN][::-1]
    if not shown:
        return None
    axes = axes or make_axes(1.5 + 0.28 * len(shown))
    for is_worse, colour in ((False, BLUE), (True, ORANGE)):
        chosen = [(place, one) for place, one in enumerate(shown) if one.is_worse == is_worse]
        if chosen:
            values = np.array([[place, one.value, one.value - one.low, one.high - one.value] for place, one in chosen])
            label = "larger error" if is_worse else "slice"
            axes.errorbar(values[:, 1], values[:, 0], xerr=values[:, 2:].T, fmt="o", color=colour, capsize=3, label=label)
    axes.axvline(slices.value, **REFERENCE, label="all rows")
    axes.set_yticks(range(len(shown)), [shorten_label(f"{one.name} ({one.rows:,})", 48) for one in shown])
    axes.grid(visible=False, axis="y")
    worse = sum(one.is_worse for one in slices.slices)
    title = f"Slices: a larger error on {worse} of {len(slices.slices)}"
    return finish_axes(axes, title, x=f"{slices.metric} with 95 % interval (test rows in brackets)")
