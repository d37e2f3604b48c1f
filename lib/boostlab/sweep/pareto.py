"""The figure of a sweep with several metrics: which trials are on the Pareto front, not dominated by another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, GREY, TYPE_PT, finish_axes, make_axes, make_message, make_mosaic
from boostlab.display.tips import add_tips
from boostlab.sweep.ranking import Array, describe_lack, find_front, list_complete, to_costs
from boostlab.sweep.scales import join_notes, point_look, scale_values, show_metric
from boostlab.sweep.trial import Objective, Trial, describe_trial

MOST_METRICS = 3


def plot_pareto(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Figure:
    """Draw two metrics against each other, with the Pareto front; of three metrics, each pair.

    Of more than three metrics, the first three are drawn.
    """
    if len(objectives) < 2:
        return make_message("A Pareto front takes two metrics; this study has one.")
    complete = list_complete(trials, objectives)
    if not complete:
        return make_message(describe_lack(trials))
    front = find_front(to_costs(complete, objectives))
    pairs = list(combinations(range(min(len(objectives), MOST_METRICS)), 2))
    if len(pairs) == 1:
        return _draw_pair(make_axes(4.2), complete, objectives, front=front, pair=pairs[0])
    figure, panels = make_mosaic([[str(pair)] for pair in pairs], height_in=3.4 * len(pairs))
    for pair in pairs:
        _draw_pair(panels[str(pair)], complete, objectives, front=front, pair=pair)
    return figure


def _draw_pair(
    axes: Axes, complete: Sequence[Trial], objectives: Sequence[Objective], *, front: Array, pair: tuple[int, int]
) -> Figure:
    """Draw two metrics of complete trials; the front of two metrics in all has a line."""
    x, y = (np.array([trial.values[place] for trial in complete]) for place in pair)
    across = scale_values(axes, [*x], objectives[pair[0]].direction, side=False)
    upward = scale_values(axes, [*y], objectives[pair[1]].direction)
    drawn = across.clip(x), upward.clip(y)
    if not front.all():
        look = point_look(len(complete) * (1 if len(objectives) == 2 else MOST_METRICS))
        axes.plot(drawn[0][~front], drawn[1][~front], color=GREY, label="dominated by another trial", **look)
    order = np.flatnonzero(front)[np.lexsort((y[front], x[front]))]
    steps: Any = "steps-post" if objectives[pair[0]].direction == "minimize" else "steps-pre"
    line: dict[str, Any] = {"linestyle": "-" if len(objectives) == 2 else "", "drawstyle": steps, "marker": "o", "markersize": 7}
    axes.plot(drawn[0][order], drawn[1][order], color=BLUE, label="Pareto front", **line)
    ordered = [*order, *np.flatnonzero(~front)]
    add_tips(axes, drawn[0][ordered], drawn[1][ordered], [describe_trial(complete[place], objectives) for place in ordered])
    drop = -14 if objectives[pair[1]].direction == "maximize" else 5  # on the side of the line where the others are
    apart = abs(drawn[0][order[-1]] - drawn[0][order[0]]) > 0.15 * np.ptp(drawn[0])  # else one label would be over the other
    for place in {order[0], order[-1]} if apart else {order[0]}:
        where = drawn[0][place], drawn[1][place]
        axes.annotate(f"trial {complete[place].number:,}", where, (7, drop), textcoords="offset points", fontsize=TYPE_PT)
    names = [show_metric(objectives[place]) for place in pair]
    count = f"{front.sum():,} of {len(complete):,} trial{'s' if len(complete) > 1 else ''}"
    left = len(objectives) - MOST_METRICS
    left_out = f"; {left:,} more {'metrics are' if left > 1 else 'metric is'} not drawn" if left > 0 else ""
    return finish_axes(
        axes, f"{count} on the Pareto front{left_out}", x=join_notes(names[0], across), y=join_notes(names[1], upward)
    )
