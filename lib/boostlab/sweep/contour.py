"""The figure of a metric over the two most important parameters of a sweep."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from boostlab.display.figures import (
    BLUE,
    GREY,
    INK,
    MOST_POINTS,
    ORANGE,
    TYPE_PT,
    finish_axes,
    make_axes,
    make_message,
    shorten_label,
    shorten_names,
)
from boostlab.display.numbers import format_number
from boostlab.sweep.point_plots import explain_lack, spread_category
from boostlab.sweep.ranking import Array, Column, list_columns, list_complete, to_costs
from boostlab.sweep.scales import scale_column
from boostlab.sweep.trial import Objective, Trial

LEAST_TRIALS = 8  # from which a surface is drawn
MOST_TRIALS = 1000  # of a surface
LEVELS = 8
MOST_MARKS = 400  # of trials on a surface: as shapes, in the colour of the page's text
CELLS = 60  # of the surface along each axis
REACH = 1.5  # times the width of smoothing: the surface ends so far from the nearest trial
SHADES = [to_rgba(BLUE, 0.9), to_rgba(GREY, 0.35), to_rgba(ORANGE, 0.95)]  # pale between: the ground may be dark or light
WORST_TO_BEST = LinearSegmentedColormap.from_list("worst_to_best", SHADES)
POINTS_WORST_TO_BEST = LinearSegmentedColormap.from_list("points_worst_to_best", [BLUE, GREY, ORANGE])


def plot_contour(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    *,
    importances: Mapping[str, float] | None = None,
    log: Collection[str] = (),
) -> Figure:
    """Draw where the first metric is good over the two most important parameters that differ.

    The surface is a smooth mean of the ranks of the complete trials, drawn only near trials. With a parameter of categories,
    or fewer than eight trials, the trials alone are drawn.
    """
    complete = list_complete(trials, objectives)
    columns = list_columns(complete, importances=importances, log=log)
    if len(columns) < 2:
        return make_message(explain_lack(trials, complete, least=2))
    names = [column.name for column in columns[:2]]
    kept = [trial for trial in complete if all(name in trial.point for name in names)]
    both = [column for column in list_columns(kept, importances=importances, log=log) if column.name in names]
    if len(both) < 2:
        return make_message(f"{' and '.join(map(shorten_label, names))} do not both differ in one set of trials.")
    x, y = sorted(both, key=lambda column: not column.is_number)
    costs = to_costs(kept, objectives)[:, 0]
    axes, best = make_axes(4.6), int(costs.argmin())
    _draw(axes, x, y, costs, best=best, objective=objectives[0])
    value = format_number(kept[best].values[0])
    axes.plot([], [], "*", color=INK, markersize=12, label=f"the best of these: {value}, in trial {kept[best].number:,}")
    title = f"Where is {shorten_label(objectives[0].metric)} good? In the orange places"
    across, upward = shorten_names([x.name, y.name])
    return finish_axes(axes, title, x=across, y=upward)


def _draw(axes: Axes, x: Column, y: Column, costs: Array, *, best: int, objective: Objective) -> None:
    """Draw surface, trials and the bar of colours."""
    scale_column(axes, x)
    scale_column(axes, y, side=True)
    shares = _rank(costs)
    at = [column.to_places() if column.is_number else spread_category(column.to_places()) for column in (x, y)]
    if x.is_number and y.is_number and len(costs) >= LEAST_TRIALS and np.ptp(shares) > 0:
        drawn: Any = _draw_surface(axes, x, y, shares)
        step = -(-len(costs) // MOST_MARKS)
        axes.plot(at[0][::step], at[1][::step], "o", color=INK, markersize=3, markeredgewidth=0)
    else:
        many: dict[str, Any] = {"s": 10, "rasterized": True, "antialiaseds": False} if len(costs) > MOST_POINTS else {"s": 45}
        drawn = axes.scatter(at[0], at[1], c=shares, linewidths=0, cmap=POINTS_WORST_TO_BEST, **many)
    axes.plot(at[0][best], at[1][best], "*", color=INK, markersize=14)
    if np.ptp(shares) > 0:
        _draw_bar(axes, drawn, costs, objective)


def _draw_surface(axes: Axes, x: Column, y: Column, shares: Array) -> Any:
    """Draw the smooth mean of ranks near the trials."""
    across, upward = _to_unit(axes, x, side=False), _to_unit(axes, y, side=True)
    step = -(-len(shares) // MOST_TRIALS)
    points, shares = np.column_stack([across, upward])[::step], shares[::step]
    cells = np.linspace(0, 1, CELLS)
    grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 1, 2)
    distances = ((grid - points) ** 2).sum(axis=-1)
    width = 0.35 * len(shares) ** (-1 / 6)
    weights = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / (2 * width**2))
    means = (weights * shares).sum(axis=1) / weights.sum(axis=1)
    means[distances.min(axis=1) > (REACH * width) ** 2] = np.nan
    surface = np.ma.masked_invalid(means.reshape(CELLS, CELLS))
    ends = _from_unit(axes, cells, x, side=False), _from_unit(axes, cells, y, side=True)
    levels = np.linspace(surface.min(), surface.max() + 1e-9, LEVELS + 1)
    drawn = axes.contourf(*ends, surface, levels=levels, cmap=WORST_TO_BEST)
    drawn.set_rasterized(True)
    return drawn


def _draw_bar(axes: Axes, drawn: Any, costs: Array, objective: Objective) -> None:
    """Draw the bar of colours, with the values of five ranks."""
    low, high = drawn.get_clim()
    shares = np.linspace(low, high, 5)
    values = np.quantile(costs, 1 - shares) * (1 if objective.direction == "minimize" else -1)
    bar = cast(Figure, axes.figure).colorbar(drawn, ax=axes, ticks=shares, aspect=30, pad=0.02)
    bar.ax.set_yticklabels([format_number(value) for value in values], fontsize=TYPE_PT)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    bar.set_label(f"{shorten_label(objective.metric)}, coloured by rank", fontsize=TYPE_PT)


def _rank(costs: Array) -> Array:
    """Return the share of the other values that each is better than, from 0 to 1; of equal values, the mean."""
    distinct, places, counts = np.unique(costs, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    ranks = (before + (counts - 1) / 2)[places]
    return np.asarray(1 - ranks / max(len(costs) - 1, 1) if len(distinct) > 1 else np.zeros(len(costs)))


def _to_unit(axes: Axes, column: Column, *, side: bool) -> Array:
    """Return the places of values on an axis, from 0 to 1."""
    low, high = axes.get_ylim() if side else axes.get_xlim()
    places = column.to_places()
    return np.log(places / low) / np.log(high / low) if column.is_log else (places - low) / (high - low)


def _from_unit(axes: Axes, cells: Array, column: Column, *, side: bool) -> Array:
    """Return the values at places on an axis."""
    low, high = axes.get_ylim() if side else axes.get_xlim()
    return low * (high / low) ** cells if column.is_log else low + cells * (high - low)
