"""Metrics of a model on the test part, next to those of the best constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels
from boostlab.errors import LabError, suggest
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor

Array = np.ndarray[Any, Any]
LOWER_IS_BETTER = ("rmse", "mae", "log_loss", "rmsle", "mape", "mphe", "logloss", "mlogloss", "error", "merror")
HIGHER_IS_BETTER = ("r2", "accuracy", "balanced_accuracy", "f1", "roc_auc", "auc", "aucpr")
PARTS = ("train", "valid", "test", "baseline")
UNITS = {"rmse": "unit of the target", "mae": "unit of the target", "r2": "1 is perfect", "log_loss": "nats"}


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to the test part, and their metrics."""

    part: Part  #: the test part
    contract: Contract
    answers: Array  #: predictions, shape (n_rows,), or the probability of each label, shape (n_rows, n_classes)
    scores: dict[str, float]  #: the metrics of the model
    baseline: dict[str, float]  #: the metrics of the constant that fits the training part best

    def metrics(self) -> dict[str, float]:
        """Return all metrics by the names that the run records, such as ``test_rmse`` and ``baseline_rmse``."""
        named = {"test": self.scores, "baseline": self.baseline}
        return {f"{part}_{name}": value for part, scores in named.items() for name, value in scores.items()}

    def tabulate(self) -> pd.DataFrame:
        """Return the metrics as a table for people."""
        table = pd.DataFrame({"model": self.scores, "constant predictor": self.baseline})
        table["unit"] = [UNITS.get(name, "0 to 1") for name in table.index]
        return table.rename_axis("metric on the test part")


def evaluate_test(predictor: Predictor, split: Split) -> Evaluation:
    """Return a model's answers to the test part and their metrics, next to those of the best constant.

    The constant is the mean of the training part, or the share of each class.
    """
    contract, part = predictor.contract, split.test
    answer = predictor.predict if contract.task == "regression" else predictor.probabilities
    answers = np.concatenate([np.asarray(answer(frame)) for frame in part.batches(contract.names)])
    if contract.task == "regression":
        constant = np.full(len(part), split.train.target.mean())
    else:
        codes = encode_labels(split.train.target, contract.labels)
        shares = np.bincount(codes, minlength=len(contract.labels)) / len(split.train)
        constant = np.tile(shares, (len(part), 1))
    return Evaluation(part, contract, answers, _score(answers, part, contract), _score(constant, part, contract))


def _score(answers: Array, part: Part, contract: Contract) -> dict[str, float]:
    if contract.task == "regression":
        return score_regression(part.target.to_numpy(float), answers)
    return score_classification(encode_labels(part.target, contract.labels), answers, contract.labels)


def score_regression(true: Array, predicted: Array) -> dict[str, float]:
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


def score_classification(true: Array, probabilities: Array, labels: Sequence[Any]) -> dict[str, float]:
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
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # float32 probabilities do not sum to 1 exactly
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
    return found | ({"roc_auc": float(np.mean(areas))} if areas else {})  # undefined where all rows have the same class


def is_higher_better(metric: str) -> bool:
    """Tell the direction of a metric of this module or of XGBoost, with or without a part's name before it.

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
