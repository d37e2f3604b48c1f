"""Figures of a cross-validation: the metric of each fold, and the folds' curves.

Each function draws into `axes`, or into a new figure, and returns the figure.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boostlab.display.figures import BLUE, GREY, ORANGE, finish_axes, make_axes, make_mosaic
from boostlab.display.numbers import format_number
from boostlab.training.cross_validation import CrossValidation

SPREAD = 0.15


def plot_folds(cross_validation: CrossValidation) -> Figure | None:
    """Draw the folds' metric and their curves; None without folds."""
    if not cross_validation.folds:
        return None
    figure, panels = make_mosaic(["lr"], height_in=3.6)
    plot_fold_scores(cross_validation, axes=panels["l"])
    plot_fold_curves(cross_validation, axes=panels["r"])
    return figure


def plot_fold_scores(cross_validation: CrossValidation, *, axes: Axes | None = None) -> Figure:
    """Draw the metric of each fold as a strip, with the mean and its interval."""
    axes = axes or make_axes(3.6)
    name, score = next(iter(cross_validation.scores.items()))
    values = cross_validation.values[name].to_numpy()
    places = np.linspace(-SPREAD, SPREAD, len(values))  # side by side, so that equal values are seen
    axes.plot(places, values, "o", color=BLUE, alpha=0.7, label="a fold")
    error = [[score.mean - score.low], [score.high - score.mean]]
    axes.errorbar([0.35], [score.mean], yerr=error, fmt="o", color=ORANGE, capsize=5, linewidth=2, label="mean, 95 % interval")
    axes.set_xlim(-0.4, 0.6)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    title = f"{name}: {format_number(score.mean)} ± {format_number(score.deviation)} over folds"
    return finish_axes(axes, title, x=f"{len(values)} folds", y=name)


def plot_fold_curves(cross_validation: CrossValidation, *, axes: Axes | None = None) -> Figure:
    """Draw the validation metric of each fold over the boosting rounds, with the last round of each model."""
    axes = axes or make_axes(3.6)
    fits = [fold.fit for fold in cross_validation.folds]
    for number, fit in enumerate(fits):
        curve = fit.curves[f"valid_{fit.metric}"]
        rounds, label = range(1, len(curve) + 1), "a fold" if number == 0 else None
        axes.plot(rounds, curve, color=GREY, alpha=0.6, linewidth=1, label=label)
        kept = "the model's last round" if number == 0 else None
        axes.plot(fit.best_iteration + 1, curve[fit.best_iteration], "o", color=ORANGE, markersize=5, label=kept)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    counts = [fit.best_iteration + 1 for fit in fits]
    span = f"{min(counts):,} to {max(counts):,}" if min(counts) < max(counts) else f"{counts[0]:,}"
    title = f"The models have {span} rounds"
    return finish_axes(axes, title, x="boosting round", y=f"valid {fits[0].metric}")
