"""All figures of a sweep in one import, which takes a while: it loads matplotlib, and scikit-learn for the importances."""

from optuna.importance import FanovaImportanceEvaluator

from boostlab.sweep.contour import plot_contour
from boostlab.sweep.pareto import plot_pareto
from boostlab.sweep.plots import plot_history, plot_reports, plot_timeline
from boostlab.sweep.point_plots import plot_importance, plot_parallel, plot_slices

__all__ = [
    "FanovaImportanceEvaluator",
    "plot_contour",
    "plot_history",
    "plot_importance",
    "plot_parallel",
    "plot_pareto",
    "plot_reports",
    "plot_slices",
    "plot_timeline",
]
