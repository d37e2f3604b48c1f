"""Each figure of the project, with usual and with unusual content."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.support import trials
from tests.support.settings import make_settings

from boostlab.comparison import plots as comparison
from boostlab.comparison.paired import Difference
from boostlab.data.splits import Part
from boostlab.data.table import Roles, Table
from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.steps import plot_latency
from boostlab.deployment.verification import VerificationReport
from boostlab.evaluation.explanation_plots import plot_explanations, plot_importance
from boostlab.evaluation.explanations import Explanation
from boostlab.evaluation.metrics import Evaluation
from boostlab.evaluation.plots import plot_test
from boostlab.models.contract import Contract, Feature, Label, Task
from boostlab.registry.history import Transition, replay
from boostlab.registry.plots import plot_timeline
from boostlab.registry.view import ModelView
from boostlab.scoring.plots import plot_drift
from boostlab.training.fit import Fit
from boostlab.training.plots import plot_learning_curves, plot_target, plot_threshold
from boostlab.training.threshold import choose_threshold

LONG = "an uncommonly long name of a column or class $x_{$ "
CURVES = {"train_rmse": [3.0, 2.0, 1.0, 0.5], "valid_rmse": [3.0, 2.0, 2.5, 2.75]}
VARYING: dict[str, list[Any]] = {
    "eta": [0.001, 0.1, 0.3, 0.05, 0.2],
    "grow_policy": ["lossguide", "$x_{$", "depthwise", "lossguide", "lossguide"],
    "max_depth": [2, None, 4, 6, 8],
    "seed": [0, 1, 2, 3, 4],
    "colsample_bytree": [0.5, 0.6, 0.7, 0.8, 0.9],
}
VALUES = [53.8123, 53.9, 54.0, 55.5, 61.0]
DIFFERENCE = Difference("rmse", 53.8, 55.2, -2.217, -0.512, 88, "better", "Made.", "")


def make_table(target: list[Any], weight: list[float] | None = None, *, name: str = "price") -> Table:
    task: Task = "classification" if isinstance(target[0], str) else "regression"
    columns = {name: target} | ({"w": weight} if weight else {})
    roles = Roles(target=name, weight="w" if weight else "")
    return Table(pa.table(columns), roles, (), name="made", source="here", task=task)


def make_evaluation(
    target: list[Any],
    answers: np.ndarray,
    labels: tuple[Label, ...] = (),
    *,
    weight: list[float] | None = None,
    quantiles: tuple[float, ...] = (),
    name: str = "price",
) -> Evaluation:
    table = make_table(target, weight, name=name)
    part = Part(table, np.arange(len(table)), table.target, None if weight is None else np.array(weight, np.float32))
    return Evaluation(part, Contract(table.task, labels, (), quantiles=quantiles), answers, {"rmse": 53.8123}, {"rmse": 80.0})


def make_fit(curves: dict[str, list[float]], best_iteration: int = 1) -> Fit:
    return Fit(cast(Any, None), curves, "rmse", best_iteration=best_iteration, fit_time_s=1.0, ending="")


def make_explanation(
    *, columns: int = 4, rows: int = 90, labels: tuple[str, ...] = (), quantiles: tuple[float, ...] = (), refusal: str = ""
) -> Explanation:
    """Return made contributions of a number, a text, a truth and a date, each with missing values, and of further numbers."""
    draw = np.random.default_rng(0)
    words = tuple(f"{number} {LONG}" for number in range(12))
    known = (
        Feature("size", "number", "double", optional=True),
        Feature("city $x_{$", "category", "string", categories=words, optional=True),
        Feature("new", "boolean", "boolean", optional=True),
        Feature("sold", "date", "string", parts=("days",), optional=True),
    )
    features = known[:columns] + tuple(Feature(f"{LONG}{n}", "number", "double") for n in range(columns - 4))
    made: dict[str, list[Any]] = {
        "size": list(draw.normal(100, 30, rows)),
        "city $x_{$": list(draw.choice(known[1].categories, rows)),
        "new": list(draw.random(rows) < 0.5),
        "sold": list(pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D")),
    }
    frame = pd.DataFrame({item.name: made.get(item.name, list(draw.normal(size=rows))) for item in features}).astype(object)
    frame.loc[::9] = None
    outputs = 0 if refusal else len(labels) if len(labels) > 2 else max(len(quantiles), 1)
    contributions = draw.normal(size=(rows, outputs, columns + 1)) / np.arange(1, columns + 2)
    contributions[:, :, -1] = 1.5
    answers = contributions.sum(axis=2) if outputs > 1 else draw.normal(size=rows)
    true: np.ndarray[Any, Any] = draw.normal(size=rows)
    if labels:
        answers, true = draw.dirichlet(np.ones(len(labels)), rows), draw.integers(0, len(labels), rows)
    sizes = np.linspace(1, 0, columns) if not refusal else np.full(columns, np.nan)
    parts = {"contribution": sizes, "contribution_error": sizes / 9, "permutation": np.linspace(1, -0.1, columns)}
    importance = pd.DataFrame(parts | {"permutation_error": 0.02, "gain": 0.5}, index=[item.name for item in features])
    contract = Contract("classification" if labels else "regression", labels, features, quantiles=quantiles)
    facts = contributions, "unit of the target", importance, rows + 10, refusal
    return Explanation(contract, frame, np.arange(rows), true, answers, None, *facts)


def plot_regression(rows: int = 90, name: str = "price") -> Figure:
    draw = np.random.default_rng(0)
    true = draw.normal(1e5, 2e4, rows)
    return plot_test(make_evaluation(list(true), true + draw.normal(0, 9e3, rows), name=name))


def plot_quantiles(rows: int = 90) -> Figure:
    draw = np.random.default_rng(0)
    true = draw.normal(150, 50, rows)
    answers = np.sort(true[:, None] + draw.normal(0, 30, (rows, 3)), axis=1)
    return plot_test(make_evaluation(list(true), answers, quantiles=(0.1, 0.5, 0.9)))


def plot_classes(count: int, prefix: str = "class ", rows: int = 6) -> Figure:
    """Draw the test figure of so many classes, of which the later ones are found more often."""
    draw, labels = np.random.default_rng(0), tuple(f"{number:03d} {prefix}" for number in range(count))
    codes = np.arange(rows * count) % count
    answers = draw.random((len(codes), count)) + np.eye(count)[codes] * np.linspace(0.2, 1, count)
    return plot_test(make_evaluation([labels[code] for code in codes], answers / answers.sum(axis=1, keepdims=True), labels))


def draw_rare(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are of a rare class, and honest probabilities of it."""
    draw = np.random.default_rng(0)
    likely = draw.beta(0.3, 12, rows)
    return draw.random(rows) < likely, likely


def plot_rare_class() -> Figure:
    true, likely = draw_rare()
    target = [("no", "fraud")[is_fraud] for is_fraud in true.astype(int)]
    return plot_test(make_evaluation(target, np.column_stack([1 - likely, likely]), ("no", "fraud")))


def plot_rare_threshold(rule: str, positive: str = "fraud") -> Figure:
    true, likely = draw_rare()
    costs = {"cost_false_negative": 20.0} if rule == "cost" else {}
    settings = make_settings(dataset="breast_cancer", threshold=rule, **costs)
    return plot_threshold(choose_threshold(true.astype(int), likely, settings=settings), positive=positive)


def plot_rounds(rounds: int) -> Figure:
    fall = np.exp(-np.arange(rounds) / 30)
    curves = {"train_rmse": [*(40 + 40 * fall)], "valid_rmse": [*(55 + 30 * fall)]}
    return plot_learning_curves(make_fit(curves, rounds - 1))


def plot_many_transitions() -> Figure:
    now = int(time.time() * 1000)
    steps = (Transition(n, now - 86_400_000 + 9_000_000 * n, "a", "promote", "none", "production") for n in range(1, 9))
    history = replay(steps)
    return plot_timeline(ModelView("su$gar$_{x}", (), history.version_by_stage, history))


def plot_loads() -> Figure:
    draw = np.random.default_rng(0)
    loads = {clients: LoadResult(draw.lognormal(-6, 0.4, 300).tolist(), seconds=0.5) for clients in (1, 8, 64)}
    return plot_latency(VerificationReport([], loads, 1.0))


def plot_columns(names: list[str]) -> Figure:
    verdicts = ["drifted", "worth a look", *["as before"] * (len(names) - 2)]
    return plot_drift(pd.DataFrame({"drift": np.linspace(0.9, 0, len(names)), "verdict": verdicts}, index=names))


NAMES = [f"{LONG}{number}" for number in range(12)]
SHARES = {f"run {LONG}{number}": dict.fromkeys(NAMES, 1 / 12 + number / 100) for number in range(3)}
FIGURES: dict[str, Callable[[], Figure]] = {
    "target_quantity": lambda: plot_target(make_table([*np.random.default_rng(0).normal(150, 77, 400)])),
    "target_two_classes": lambda: plot_target(make_table(["benign", "malignant", "benign"])),
    "target_long_classes": lambda: plot_target(make_table(NAMES * 3, name=LONG)),
    "learning_curves": lambda: plot_rounds(200),
    "importance": lambda: plot_importance(make_explanation()),
    "importance_long_names": lambda: plot_importance(make_explanation(labels=("no", LONG), columns=30)),
    "explanations": lambda: plot_explanations(make_explanation()),
    "explanations_long_names": lambda: plot_explanations(make_explanation(labels=("no", LONG), columns=30)),
    "explanations_classes": lambda: plot_explanations(make_explanation(labels=("a", "b", "c"))),
    "explanations_quantiles": lambda: plot_explanations(make_explanation(quantiles=(0.1, 0.5, 0.9))),
    "explanations_one_column": lambda: plot_explanations(make_explanation(columns=1)),
    "explanations_refused": lambda: plot_explanations(make_explanation(refusal="contributions: none for this model.")),
    "regression": plot_regression,
    "regression_long_name": lambda: plot_regression(2_000, LONG),
    "quantiles": plot_quantiles,
    "two_classes": lambda: plot_classes(2, rows=90),
    "two_long_classes": lambda: plot_classes(2, LONG, rows=90),
    "ten_classes": lambda: plot_classes(10),
    "twenty_long_classes": lambda: plot_classes(20, LONG),
    "two_hundred_classes": lambda: plot_classes(200),
    "rare_class": plot_rare_class,
    "threshold": lambda: plot_rare_threshold("recall >= 0.8"),
    "threshold_by_cost": lambda: plot_rare_threshold("cost", LONG),
    "spread": lambda: comparison.plot_spread([("eta 0.1", [1.0, 3.0]), (LONG * 3, [2.0]), ("$", [2.5])], metric="test_rmse"),
    "parallel_coordinates": lambda: comparison.plot_parallel(VARYING, VALUES, metric="test_rmse"),
    "hyperparameters": lambda: comparison.plot_parameters(VARYING, VALUES, metric="test_rmse"),
    "curves_of_runs": lambda: comparison.plot_curves({"valid_rmse": {f"{LONG}{n}": [3.0, 1.0 + n, 2.0] for n in range(4)}}),
    "importances_of_runs": lambda: comparison.plot_importances(SHARES),
    "difference": lambda: comparison.plot_difference(DIFFERENCE),
    "timeline": plot_many_transitions,
    "drift": lambda: plot_columns(NAMES),
    "latency": plot_loads,
    "message": lambda: comparison.plot_curves({}),
} | trials.FIGURES


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def legend(axes: Axes) -> list[str]:
    return [str(text) for text in axes.get_legend_handles_labels()[1]]


def check_picture(figure: Figure) -> None:
    """Check that a figure becomes a PNG, is not a global one, and that its axes say what they show."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    assert picture.getvalue().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert all(title(axes) and axes.get_xlabel() for axes in figure.axes if axes.axison)
