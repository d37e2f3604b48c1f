"""How good a model is on rows that it has not seen, and how good a constant would be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from boostlab.data.splits import Part
from boostlab.data.table import encode_labels
from boostlab.errors import LabError, suggest
from boostlab.models.contract import Task
from boostlab.models.predictor import Predictor

LOWER_IS_BETTER = ("rmse", "mae", "log_loss", "rmsle", "mape", "mphe", "logloss", "mlogloss", "error", "merror")
HIGHER_IS_BETTER = ("r2", "accuracy", "balanced_accuracy", "f1", "roc_auc", "auc", "aucpr")
PARTS = ("train", "valid", "test", "baseline")
UNITS = {"rmse": "unit of the target", "mae": "unit of the target", "r2": "1 is perfect", "log_loss": "nats"}


def predict_part(predictor: Predictor, part: Part) -> np.ndarray[Any, Any]:
    """Return a model's answers to a part of the data: values of shape (n_rows,), or probabilities (n_rows, n_classes)."""
    answer = predictor.predict if predictor.contract.task == "regression" else predictor.probabilities
    return np.concatenate([np.asarray(answer(frame)) for frame in part.batches(predictor.contract.names)])


def evaluate_answers(answers: np.ndarray[Any, Any], part: Part, *, task: Task, labels: Sequence[Any]) -> dict[str, float]:
    """Return the metrics of a model's answers, as :func:`score_regression` or :func:`score_classification` gives them."""
    if task == "regression":
        return score_regression(part.target.to_numpy(float), answers)
    return score_classification(encode_labels(part.target, labels), answers, labels)


def evaluate_constant(train: Part, part: Part, *, task: Task, labels: Sequence[Any]) -> dict[str, float]:
    """Return the metrics of the best constant: the training part's mean, or its share of each class."""
    if task == "regression":
        return evaluate_answers(np.full(len(part), train.target.mean()), part, task=task, labels=labels)
    shares = np.bincount(encode_labels(train.target, labels), minlength=len(labels)) / len(train)
    return evaluate_answers(np.tile(shares, (len(part), 1)), part, task=task, labels=labels)


def score_regression(true: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return ``rmse``, ``mae`` (in the unit of the target) and ``r2`` of predictions, both of shape (n_rows,).

    Examples
    --------
    >>> score_regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))["mae"]
    0.6666666666666666
    """
    return {
        "rmse": float(metrics.root_mean_squared_error(true, predicted)),
        "mae": float(metrics.mean_absolute_error(true, predicted)),
        "r2": float(metrics.r2_score(true, predicted)),
    }


def score_classification(
    true: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any], labels: Sequence[Any]
) -> dict[str, float]:
    """Return the metrics of predicted probabilities.

    Parameters
    ----------
    true : ndarray of int, shape (n_rows,)
        Positions in `labels`.
    probabilities : ndarray of shape (n_rows, n_classes)

    Returns
    -------
    dict of str to float
        ``log_loss`` (in nats), ``accuracy``, ``balanced_accuracy``, ``f1`` and ``roc_auc``. With two classes, F1 and ROC
        AUC are those of the second label; with more, the unweighted mean over classes (ROC AUC: one against the rest).
    """
    binary = len(labels) == 2
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # they come from float32
    predicted = probabilities.argmax(axis=1)
    recalls = [float(np.mean(predicted[true == position] == position)) for position in np.unique(true)]
    found = {
        "log_loss": float(metrics.log_loss(true, probabilities, labels=range(len(labels)))),
        "accuracy": float(metrics.accuracy_score(true, predicted)),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1": float(metrics.f1_score(true, predicted, average="binary" if binary else "macro", zero_division=0)),
    }
    present = [position for position in range(len(labels)) if 0 < np.mean(true == position) < 1]
    ranked = present[-1:] if binary else present
    areas = [metrics.roc_auc_score(true == position, probabilities[:, position]) for position in ranked]
    return found | ({"roc_auc": float(np.mean(areas))} if areas else {})  # without it where the rows are of one class


def tabulate_scores(model: dict[str, float], constant: dict[str, float]) -> pd.DataFrame:
    """Return a model's metrics beside the constant's, as a table to look at."""
    table = pd.DataFrame({"model": model, "constant predictor": constant})
    table["unit"] = [UNITS.get(name, "0 to 1") for name in table.index]
    return table.rename_axis("metric on the test part")


def is_higher_better(metric: str) -> bool:
    """Tell a metric's direction: that of :func:`evaluate_answers` or XGBoost, with or without its part's name before it.

    Raises
    ------
    LabError
        If the metric's direction is not known.

    Examples
    --------
    >>> is_higher_better("test_r2"), is_higher_better("valid_error:0.7")
    (True, False)
    """
    name = strip_part(metric).partition(":")[0]
    if name not in LOWER_IS_BETTER + HIGHER_IS_BETTER:
        raise LabError(
            f"Whether a higher or a lower {metric!r} is better is not known.{suggest(name, LOWER_IS_BETTER + HIGHER_IS_BETTER)} "
            f"Known are {', '.join(LOWER_IS_BETTER)} (lower) and {', '.join(HIGHER_IS_BETTER)} (higher), each after "
            f"{', '.join(part + '_' for part in PARTS)} or alone."
        )
    return name in HIGHER_IS_BETTER


def strip_part(metric: str) -> str:
    """Return a metric's name without the name of the part before it: ``rmse`` for ``test_rmse``."""
    part, _, name = metric.partition("_")
    return name if part in PARTS else metric


def prefix_names(scores: dict[str, float], prefix: str) -> dict[str, float]:
    """Return the scores under names with a prefix, as ``test_rmse``."""
    return {f"{prefix}_{name}": value for name, value in scores.items()}
