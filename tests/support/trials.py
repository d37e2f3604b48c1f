"""Trials of studies, as the search would leave them, and each figure of a sweep with usual and with unusual content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from boostlab.sweep.contour import plot_contour
from boostlab.sweep.pareto import plot_pareto
from boostlab.sweep.plots import plot_history, plot_reports, plot_timeline
from boostlab.sweep.point_plots import plot_importance, plot_parallel, plot_slices
from boostlab.sweep.trial import Objective, Trial, TrialState

RMSE = Objective("best_valid_rmse", "minimize")
R2 = Objective("valid_r2", "maximize")
SECONDS = Objective("fit_time_s", "minimize")
IMPORTANCES = {"eta": 0.61, "max_depth": 0.27, "grow_policy": 0.09, "subsample": 0.027, "max_leaves": 0.003}
HOSTILE = "a long $x_{$ name_of < a & b parameter"
START_MS = 1_700_000_000_000


def make_trials(
    count: int,
    *,
    metrics: int = 1,
    state: TrialState | None = None,
    value: float | None = None,
    factor: float = 1.0,
    workers: int = 4,
) -> list[Trial]:
    """Return trials of a search over five parameters, one of which depends on another; every seventh is pruned or failed."""
    random, made, free = np.random.default_rng(1), [], [START_MS] * workers
    for number in range(count):
        point = make_point(random)
        error = 53 + 14 * abs(np.log10(point["eta"]) + 1.2) + abs(point["max_depth"] - 6) + 3 * random.random()
        values = [
            factor * (error if value is None else value),
            0.7 - error / 300 + 0.05 * random.random(),
            0.2 * point["max_depth"],
        ]
        ended: TrialState = state or ("failed" if number % 14 == 9 else "pruned" if number % 7 == 5 else "complete")
        steps = np.arange(1, 40 if ended == "complete" else 12)
        reports = {int(step): float(values[0] * (1 + np.exp(-step / 8))) for step in steps} if ended != "failed" else {}
        worker = int(np.argmin(free))
        begun = free[worker] + 200
        free[worker] = begun + int(1000 + 800 * random.random() + 50 * len(steps))
        made.append(
            Trial(
                number,
                point,
                ended,
                tuple(values[:metrics]) if ended == "complete" else (),
                reports,
                (values[0] - factor, values[0] + factor) if ended == "complete" else None,
                begun,
                free[worker],
                f"node-{worker // 2}:{worker % 2}",
                f"run{number}",
                f"train-{number}",
                "champion" if number == 0 else "" if ended == "complete" else "XGBoostError: it failed",
            )
        )
    return made


def make_point(random: np.random.Generator) -> dict[str, Any]:
    policy = str(random.choice(["depthwise", "lossguide"]))
    point = {
        "eta": float(10 ** random.uniform(-3, 0)),
        "max_depth": int(random.integers(2, 11)),
        "grow_policy": policy,
        "subsample": float(random.uniform(0.5, 1)),
    }
    return point | ({"max_leaves": int(random.integers(8, 256))} if policy == "lossguide" else {})


def make_at(points: list[dict[str, Any]], values: list[float] | None = None) -> list[Trial]:
    """Return complete trials of given points; without values, their numbers are the values."""
    values = values or [float(number) for number in range(len(points))]
    return [Trial(number, point, "complete", (value,)) for number, (point, value) in enumerate(zip(points, values, strict=True))]


def make_wide(count: int = 40, columns: int = 20) -> list[Trial]:
    """Return trials over 20 parameters with names that are markup elsewhere, every third of them of long categories."""
    random = np.random.default_rng(2)
    long = [f"an uncommonly long category {sign}" for sign in ("$x_{$", "<b>", "&amp;", "_a_", "漢")]
    trials = []
    for number in range(count):
        point = {f"{HOSTILE} {n}": str(random.choice(long)) if n % 3 == 0 else float(random.random()) for n in range(columns)}
        trials.append(
            Trial(number, point, "complete", (float(random.random()),), reason=HOSTILE, worker=HOSTILE * 2, start_ms=START_MS)
        )
    return trials


def draw_points(plot: Callable[..., Figure], trials: list[Trial]) -> Callable[[], Figure]:
    return lambda: plot(trials, [RMSE], importances=IMPORTANCES)


HUGE = Objective(HOSTILE, "maximize")
USUAL, MANY = make_trials(32, metrics=3), make_trials(1000, metrics=3)
OUTLIER = [*make_trials(30), Trial(30, make_point(np.random.default_rng(3)), "complete", (-4e5,))]
RUNNING = [*USUAL, Trial(32, USUAL[0].point, "running", reports={1: 90.0}, start_ms=USUAL[-1].end_ms, worker="node-0:0")]
FIGURES: dict[str, Callable[[], Figure]] = {
    "sweep_history": lambda: plot_history(RUNNING, [RMSE]),
    "sweep_history_many": lambda: plot_history(MANY, [RMSE]),
    "sweep_history_outlier": lambda: plot_history(OUTLIER, [Objective("valid_r2", "maximize")]),
    "sweep_history_one": lambda: plot_history(USUAL[:1], [RMSE]),
    "sweep_history_three_metrics": lambda: plot_history(USUAL, [RMSE, R2, SECONDS]),
    "sweep_history_pruned": lambda: plot_history(make_trials(12, state="pruned"), [RMSE]),
    "sweep_history_equal": lambda: plot_history(make_trials(12, value=0.0), [RMSE]),
    "sweep_history_tiny": lambda: plot_history(make_trials(12, factor=1e-300), [RMSE]),
    "sweep_history_huge": lambda: plot_history(make_trials(12, factor=1e300), [HUGE]),
    "sweep_history_hostile": lambda: plot_history(make_wide(), [HUGE]),
    "sweep_reports": lambda: plot_reports(RUNNING, [RMSE]),
    "sweep_reports_many": lambda: plot_reports(MANY, [RMSE]),
    "sweep_timeline": lambda: plot_timeline(RUNNING),
    "sweep_timeline_many": lambda: plot_timeline(make_trials(1000, workers=64)),
    "sweep_timeline_hostile": lambda: plot_timeline(make_wide()),
    "sweep_pareto": lambda: plot_pareto(USUAL, [RMSE, R2]),
    "sweep_pareto_three": lambda: plot_pareto(USUAL, [RMSE, R2, SECONDS]),
    "sweep_pareto_many": lambda: plot_pareto(MANY, [RMSE, R2, SECONDS]),
    "sweep_pareto_one": lambda: plot_pareto(USUAL[:1], [RMSE, R2]),
    "sweep_importance": lambda: plot_importance(IMPORTANCES, metric="best_valid_rmse"),
    "sweep_importance_many": lambda: plot_importance({f"{HOSTILE} {n}": 1 / (n + 1) for n in range(30)}, metric=HOSTILE),
    "sweep_slices": draw_points(plot_slices, USUAL),
    "sweep_slices_many": draw_points(plot_slices, MANY),
    "sweep_slices_outlier": lambda: plot_slices(OUTLIER, [R2]),
    "sweep_slices_wide": draw_points(plot_slices, make_wide()),
    "sweep_contour": draw_points(plot_contour, USUAL),
    "sweep_contour_many": draw_points(plot_contour, MANY),
    "sweep_contour_few": draw_points(plot_contour, USUAL[:4]),
    "sweep_contour_category": lambda: plot_contour(USUAL, [RMSE], importances={"grow_policy": 0.9, "eta": 0.5}),
    "sweep_contour_wide": draw_points(plot_contour, make_wide()),
    "sweep_parallel": draw_points(plot_parallel, USUAL),
    "sweep_parallel_many": draw_points(plot_parallel, MANY),
    "sweep_parallel_wide": draw_points(plot_parallel, make_wide()),
}
