"""A figure of the drift of a file's columns against the holdout."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.data.drift import LARGE, WORTH_A_LOOK
from boostlab.display.figures import BLUE, GREY, ORANGE, REFERENCE, finish_axes, make_axes, shorten_label

MAX_BARS = 30
COLOURS = {"as before": GREY, "worth a look": BLUE, "drifted": ORANGE}


def plot_drift(table: pd.DataFrame, *, axes: Axes | None = None) -> Figure:
    """Draw a bar for each column's drift, the largest on top, at most 30, with the customary thresholds."""
    shown = table.head(MAX_BARS)[::-1]
    axes = axes or make_axes(1.4 + 0.26 * len(shown))
    for verdict, colour in COLOURS.items():
        axes.barh(range(len(shown)), shown["drift"].where(shown["verdict"] == verdict, 0), color=colour, label=verdict)
    for threshold in (WORTH_A_LOOK, LARGE):
        axes.axvline(threshold, **REFERENCE)
    axes.set_yticks(range(len(shown)), [shorten_label(name) for name in shown.index])
    axes.grid(visible=False, axis="y")
    title = "Drift against the holdout" + (f": the largest {len(shown)} of {len(table)}" if len(shown) < len(table) else "")
    return finish_axes(axes, title, x="population stability index, less its mean by chance")
