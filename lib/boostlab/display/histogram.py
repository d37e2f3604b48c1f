"""A histogram of a quantity, and what the axis of a figure of counts says."""

from __future__ import annotations

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from boostlab.display.figures import BLUE, ORANGE
from boostlab.display.numbers import format_spread

Array = np.ndarray[Any, Any]
MOST_BINS = 60


def draw_histogram(axes: Axes, values: Array, weight: Array | None) -> str:
    """Draw how often values occur, with their mean; return the mean and the standard deviation."""
    mean = np.average(values, weights=weight)
    deviation = np.average((values - mean) ** 2, weights=weight) ** 0.5
    bins = min(MOST_BINS, max(10, round(len(values) ** 0.5)))
    counts, edges = np.histogram(values, bins=bins, weights=weight)  # seaborn would make a frame of all values
    middles = (edges[:-1] + edges[1:]) / 2
    sns.histplot(x=middles, bins=edges.tolist(), weights=counts, ax=axes, color=BLUE, alpha=1, shrink=0.94, linewidth=0)
    count_whole(axes, weight)
    axes.axvline(mean, color=ORANGE, linewidth=2, label="mean")
    return format_spread(mean, deviation)


def count_whole(axes: Axes, weight: Array | None) -> None:
    """Let the axis of counts have whole numbers, unless rows have weights."""
    if weight is None:
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def count_unit(weight: Array | None, rows: str = "rows") -> str:
    """Return what a count counts."""
    return rows if weight is None else f"{rows}, by weight"
