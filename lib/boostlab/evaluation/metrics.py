"""Metrics of a model on the test part, next to those of the best constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels
from boostlab.display.numbers import format_number
from boostlab.errors import LabError, suggest
from boostlab.evaluation.losses import LOSSES, find_loss
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor

Array = np.ndarray[Any, Any]
Weight = Array | None
REPORTED = {
    "regression": ("rmse", "mae", "r2"),
    "classification": ("log_loss", "accuracy", "balanced_accuracy", "f1", "roc_auc"),
}
HIGHER_IS_BETTER = ("r2", "accuracy", "balanced_accuracy", "f1", "roc_auc", "auc", "aucpr")
LOWER_IS_BETTER = (*LOSSES, "log_loss", "logloss", "mlogloss", "error", "merror")  # four of XGBoost's, in older runs' curves
PARTS = ("train", "valid", "test", "cv", "baseline")
UNITS = dict.fromkeys(("rmse", "mae", "pinball", "mphe"), "unit of the target") | {
    "r2": "1 is perfect",
    "log_loss": "nats",
    "mape": "fraction of the target",
    **dict.fromkeys(("rmsle", "poisson_deviance", "gamma_deviance", "tweedie_deviance"), "0 is perfect"),
}


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to the test part, and their metrics."""

    part: Part  #: the test part
    contract: Contract
    answers: Array  #: shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
    scores: dict[str, float]  #: the metrics of the model, that of the training first
    baseline: dict[str, float]  #: the metrics of the constant with the best value of that metric on the training part

    def metrics(self) -> dict[str, float]:
        """Return all metrics by the names that the run records, such as ``test_rmse`` and ``baseline_rmse``."""
        named = {"test": self.scores, "baseline": self.baseline}
        return {f"{part}_{name}": value for part, scores in named.items() for name, value in scores.items()}

    def tabulate(self) -> pd.DataFrame:
        """Return the metrics as a table for people."""
        table = pd.DataFrame({"model": self.scores, "constant predictor": self.baseline})
        table["unit"] = [UNITS.get(name.partition(":")[0], "0 to 1") for name in table.index]
        return table.rename_axis("metric on the test part")

    @property
    def findings(self) -> list[str]:
        """What is wrong with the model, one sentence each; empty if it is better than the constant."""
        name, score, constant = self._compare()
        if score < constant if is_higher_better(name) else score > constant:
            verdict = "worse than"
        elif score == constant:
            verdict = "as good as"
        else:
            return []
        numbers = f"{name} {format_number(score)} against {format_number(constant)}"
        return [f"The model is {verdict} the best constant: {numbers} on the test rows."]

    def tabulate_worst(self, count: int = 5) -> pd.DataFrame:
        """Return the test rows with the largest errors, as :func:`find_errors` defines them, with the model's columns."""
        errors = find_errors(find_true(self.part, self.contract), self.answers, self.contract)
        worst = np.argsort(-errors, kind="stable")[:count]
        order = np.argsort(self.part.rows[worst])  # a table is read in the order of its rows
        frame = pd.concat(list(self.part.table.batches(self.contract.names, self.part.rows[worst][order])), ignore_index=True)
        true = self.part.target.iloc[worst].to_numpy()
        facts = pd.DataFrame({"row": self.part.rows[worst] + 1, "true": true, "error": errors[worst]})
        table = pd.concat([facts, frame.iloc[np.argsort(order)].reset_index(drop=True)], axis="columns")
        return table.set_index("row").rename_axis(f"largest errors, of {len(errors):,} rows")

    def describe(self) -> str:
        """Return the result in a sentence: the model's metric, compared with the constant predictor's."""
        name, score, constant = self._compare()
        change = 1 - score / constant if constant else 0.0
        side = "below" if change >= 0 else "above"
        return (
            f"On {len(self.part)} held-out rows the model's {name} is {format_number(score)}: "
            f"{abs(change):.0%} {side} the constant predictor's {format_number(constant)}."
        )

    def _compare(self) -> tuple[str, float, float]:
        name = next(iter(self.scores))
        return name, self.scores[name], self.baseline[name]


def evaluate_test(predictor: Predictor, split: Split) -> Evaluation:
    """Return a model's answers to the test part and their metrics, next to those of the best constant.

    Rows count by their weights. The constant has the best value of the training's metric on the training part: the mean for
    ``rmse``, the median for ``mae``, the quantiles for ``pinball``, the share of each class for classes.
    """
    contract, part = predictor.contract, split.test
    answers = np.concatenate([predictor.answers(frame) for frame in part.batches(contract.names)])
    constant = _find_constant(split.train, contract)
    constants = np.broadcast_to(constant, (len(part), *constant.shape))
    return Evaluation(part, contract, answers, _score(answers, part, contract), _score(constants, part, contract))


def find_true(part: Part, contract: Contract) -> Array:
    """Return the target of a part as metrics take it: numbers, or positions of classes; shape (n_rows,)."""
    return encode_labels(part.target, contract.labels) if contract.labels else part.target.to_numpy(float)


def find_errors(true: Array, answers: Array, contract: Contract) -> Array:
    """Return the error of each answer, its distance from the truth or the probability of the wrong classes; shape (n_rows,).

    Of several quantiles, the one nearest to the median counts.
    """
    if contract.labels:
        return np.asarray(1 - answers[np.arange(len(true)), true])
    levels = contract.quantiles
    middle = min(range(len(levels)), key=lambda place: abs(levels[place] - 0.5)) if contract.answer_names else 0
    return np.asarray(np.abs(answers.reshape(len(true), -1)[:, middle] - true))


def score_metric(metric: str, true: Array, answers: Array, weight: Weight = None) -> float:
    """Return one metric of answers.

    Parameters
    ----------
    metric : str
        A name of this module or of :mod:`boostlab.evaluation.losses`, such as ``rmse`` or ``pinball:0.1-0.9``.
    true : ndarray of shape (n_rows,)
        Numbers, or positions of classes.
    answers : ndarray of shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
        Predictions, quantiles or probabilities.
    weight : ndarray of shape (n_rows,), optional

    Returns
    -------
    float
        With two classes, F1 and ROC AUC are those of the second one; with more, the unweighted mean over classes (ROC AUC: one
        against the rest). NaN if the rows do not define the metric, such as the ROC AUC of a single class.

    Examples
    --------
    >>> score_metric("mae", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))
    0.6666666666666666
    """
    loss = find_loss(metric)
    if loss:
        return loss.score(true, answers, weight)
    if answers.ndim > 1:
        answers = answers / answers.sum(axis=1, keepdims=True)  # float32 probabilities do not sum to 1 exactly
    return float(SCORES[metric](true, answers, weight))


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
    """Return a metric's name without the name of the part before it: ``rmse`` for ``test_rmse`` and for ``best_valid_rmse``."""
    part, _, name = metric.removeprefix("best_").partition("_")
    return name if part in PARTS else metric


def _find_constant(part: Part, contract: Contract) -> Array:
    """Return the best constant answer on a part, of the shape of one row's answer."""
    if contract.task == "classification":
        codes = encode_labels(part.target, contract.labels)
        counts = np.bincount(codes, weights=part.weight, minlength=len(contract.labels))
        return np.asarray(counts / counts.sum())
    loss = find_loss(contract.metric) or LOSSES["rmse"]()  # the mean is best for R², too
    return loss.constant(part.target.to_numpy(float), part.weight)


def _score(answers: Array, part: Part, contract: Contract) -> dict[str, float]:
    """Return the metric of the training, and the others that are reported for the task, where the part defines them."""
    true = find_true(part, contract)
    others = () if contract.quantiles else REPORTED[contract.task]
    names = dict.fromkeys(([contract.metric] if contract.metric else []) + list(others))
    scores = {name: score_metric(name, true, answers, part.weight) for name in names}
    return {name: score for name, score in scores.items() if np.isfinite(score)}


def _balanced_accuracy(true: Array, probabilities: Array, weight: Weight) -> float:
    present, predicted = np.unique(true if weight is None else true[weight > 0]), probabilities.argmax(axis=1)
    return float(metrics.recall_score(true, predicted, labels=present, average="macro", sample_weight=weight, zero_division=0))


def _f1(true: Array, probabilities: Array, weight: Weight) -> float:
    average = "binary" if probabilities.shape[1] == 2 else "macro"
    return float(metrics.f1_score(true, probabilities.argmax(axis=1), average=average, sample_weight=weight, zero_division=0))


def _roc_auc(true: Array, probabilities: Array, weight: Weight) -> float:
    shares = [np.average(true == position, weights=weight) for position in range(probabilities.shape[1])]
    present = [position for position, share in enumerate(shares) if 0 < share < 1]
    ranked = present[-1:] if len(shares) == 2 else present
    areas = [metrics.roc_auc_score(true == position, probabilities[:, position], sample_weight=weight) for position in ranked]
    return float(np.mean(areas)) if areas else np.nan


SCORES: dict[str, Callable[[Array, Array, Weight], float]] = {
    "r2": lambda true, predicted, weight: metrics.r2_score(true, predicted, sample_weight=weight),
    "log_loss": lambda true, likely, weight: metrics.log_loss(true, likely, sample_weight=weight, labels=range(likely.shape[1])),
    "accuracy": lambda true, likely, weight: metrics.accuracy_score(true, likely.argmax(axis=1), sample_weight=weight),
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
}
