"""Metrics of a model on the test part, next to those of the best constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels, to_series
from boostlab.display.numbers import format_number
from boostlab.display.tables import Table
from boostlab.evaluation.class_metrics import score_classes
from boostlab.evaluation.intervals import Interval, estimate_intervals
from boostlab.evaluation.losses import LOSSES, find_loss, name_metric, read_name
from boostlab.evaluation.metric_names import UNITS, find_range, is_higher_better
from boostlab.evaluation.reliability import Reliability, measure_reliability
from boostlab.models.answers import choose_classes
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor

Array = np.ndarray[Any, Any]
Weight = Array | None
REPORTED = {
    "regression": ("rmse", "mae", "r2"),
    "classification": (
        *("log_loss", "brier", "calibration_error", "roc_auc", "average_precision"),
        *("accuracy", "balanced_accuracy", "f1", "mcc"),
    ),
}


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to the test part, and their metrics."""

    part: Part  #: the test part
    contract: Contract
    answers: Array  #: shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
    scores: dict[str, float]  #: the metrics of the model, that of the training first
    baseline: dict[str, float]  #: the metrics of the constant with the best value of that metric on the training part
    chosen: Array | None = None  #: positions of the chosen classes, if several models chose them; None: by the contract

    @cached_property
    def reliability(self) -> Reliability:
        """How well the probabilities of a classification are calibrated."""
        return measure_reliability(find_true(self.part, self.contract), self.answers, self.part.weight, self._groups)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % intervals of the model's metrics, of those that have one."""
        contract = self.contract
        chosen = self.chosen
        if contract.labels and chosen is None:
            chosen = choose_classes(self.answers, contract.threshold)
        found = estimate_intervals(
            self.scores,
            {name: find_range(name) for name in self.scores},
            find_true(self.part, contract),
            self.answers,
            labels=len(contract.labels),
            weight=self.part.weight,
            groups=self._groups,
            predicted=chosen,
            quantiles=contract.quantiles,
        )
        return found | ({"calibration_error": (self.reliability.low, self.reliability.high)} if contract.labels else {})

    @cached_property
    def _groups(self) -> Array | None:
        """The number of each row's group; None if the split has no groups."""
        table, name = self.part.table, self.part.table.roles.group
        return pd.factorize(to_series(table.take([name], self.part.rows), name))[0] if name else None

    def metrics(self) -> dict[str, float]:
        """Return all metrics as the run records them, such as ``test_rmse``, ``test_rmse_low`` and ``baseline_rmse``."""
        named = {"test": self.scores, "baseline": self.baseline}
        found = {f"{part}_{name}": value for part, scores in named.items() for name, value in scores.items()}
        ends = {name: dict(zip(("low", "high"), interval, strict=True)) for name, interval in self.intervals.items()}
        return found | {f"test_{name}_{end}": value for name, both in ends.items() for end, value in both.items()}

    def tabulate(self) -> pd.DataFrame:
        """Return the metrics as a table for people."""
        table = pd.DataFrame({"model": self.scores, "95 % interval": "", "constant predictor": self.baseline})
        for name, ends in self.intervals.items():
            table.loc[name, "95 % interval"] = " to ".join(map(format_number, ends))
        table["unit"] = [self._describe_unit(name) for name in table.index]
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

    def tabulate_worst(self, count: int = 5) -> Table:
        """Return the test rows with the largest errors, as :func:`find_errors` defines them, with the model's columns."""
        errors = find_errors(find_true(self.part, self.contract), self.answers, self.contract)
        worst = np.argsort(-errors, kind="stable")[:count]
        order = np.argsort(self.part.rows[worst])  # a table is read in the order of its rows
        frame = pd.concat(list(self.part.table.batches(self.contract.names, self.part.rows[worst][order])), ignore_index=True)
        frame, true = frame.iloc[np.argsort(order)], self.part.target.iloc[worst]
        facts = zip((self.part.rows[worst] + 1).tolist(), true.tolist(), errors[worst].tolist(), strict=True)
        rows = [[*fact, *values] for fact, values in zip(facts, frame.itertuples(index=False), strict=True)]
        return Table(f"The largest errors, of {len(errors):,} test rows", ["row", "true", "error", *frame.columns], rows)

    def describe(self) -> str:
        """Return the result in a sentence: the model's metric, compared with the constant predictor's."""
        name, score, constant = self._compare()
        change = 1 - score / constant if constant else 0.0
        side = "below" if change >= 0 else "above"
        ends = " to ".join(map(format_number, self.intervals.get(name, ())))
        within = f" (95 % interval {ends})" if ends else ""
        return (
            f"On {len(self.part)} held-out rows the model's {name} is {format_number(score)}{within}: "
            f"{abs(change):.0%} {side} the constant predictor's {format_number(constant)}."
        )

    def _describe_unit(self, name: str) -> str:
        if name.startswith("coverage:"):
            low, high = read_name(name)[1]
            return f"0 to 1; nominal {high - low:.4g}"
        return UNITS.get(name.partition(":")[0], "0 to 1")

    def _compare(self) -> tuple[str, float, float]:
        name = next(iter(self.scores))
        return name, self.scores[name], self.baseline[name]


def evaluate_test(predictor: Predictor, split: Split, *, reported: Sequence[str] = ()) -> Evaluation:
    """Return a model's answers to the test part and their metrics, next to those of the best constant.

    Rows count by their weights. The constant has the best value of the training's metric on the training part: the mean for
    ``rmse``, the median for ``mae``, the quantiles for ``pinball``, the share of each class for classes.

    Parameters
    ----------
    reported : sequence of str
        Metrics to report besides that of the training and the usual ones of the task.
    """
    contract, part = predictor.contract, split.test
    answers = answer_part(predictor, part)
    constant = _find_constant(split.train, contract)
    constants = np.broadcast_to(constant, (len(part), *constant.shape))
    scores, baseline = (_score(each, part, contract, reported) for each in (answers, constants))
    return Evaluation(part, contract, answers, scores, baseline)


def answer_part(predictor: Predictor, part: Part) -> Array:
    """Return a model's answers to all rows of a part."""
    return np.concatenate([predictor.answers(frame) for frame in part.batches(predictor.contract.names)])


def find_true(part: Part, contract: Contract) -> Array:
    """Return the target of a part as metrics take it: numbers, or positions of classes; shape (n_rows,)."""
    return encode_labels(part.target, contract.labels) if contract.labels else part.target.to_numpy(float)


def find_errors(true: Array, answers: Array, contract: Contract) -> Array:
    """Return the error of each answer, its distance from the truth or the probability of the wrong classes; shape (n_rows,).

    Of several quantiles, the one nearest to the median counts.
    """
    if contract.labels:
        return np.asarray(1 - answers[np.arange(len(true)), true])
    return np.asarray(np.abs(answers.reshape(len(true), -1)[:, contract.middle] - true))


def score_metric(metric: str, true: Array, answers: Array, weight: Weight = None, *, threshold: float | None = None) -> float:
    """Return one metric of answers.

    Parameters
    ----------
    metric : str
        ``r2``, or a name of :mod:`boostlab.evaluation.losses` or :mod:`boostlab.evaluation.class_metrics`, such as
        ``pinball:0.1-0.9``.
    true : ndarray of shape (n_rows,)
        Numbers, or positions of classes.
    answers : ndarray of shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
        Predictions, quantiles or probabilities.
    weight : ndarray of shape (n_rows,), optional
    threshold : float, optional
        The probability of the second of two classes from which on it is the answer.

    Returns
    -------
    float
        NaN if the rows do not define the metric, such as the ROC AUC of a single class.

    Examples
    --------
    >>> score_metric("mae", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))
    0.6666666666666666
    """
    loss = find_loss(metric)
    if loss:
        return loss.score(true, answers, weight)
    if metric == "r2":
        return float(r2_score(true, answers, sample_weight=weight))
    return score_classes(metric, true, answers, weight, predicted=choose_classes(answers, threshold))


def score_intervals(true: Array, answers: Array, weight: Weight = None, *, quantiles: Sequence[float]) -> dict[str, float]:
    """Return how often the truth lies between each symmetric pair of quantiles, and how far these are apart on average.

    Examples
    --------
    >>> score_intervals(np.array([1.0, 5.0]), np.array([[0.0, 2.0], [1.0, 2.0]]), quantiles=(0.1, 0.9))
    {'coverage:0.1-0.9': 0.5, 'width:0.1-0.9': 1.5}
    """
    found: dict[str, float] = {}
    for low, level in enumerate(quantiles):
        for high in range(low + 1, len(quantiles)):
            if round(level + quantiles[high], 9) == 1:
                first, last = answers[:, low], answers[:, high]
                inside = (first <= true) & (true <= last)
                found[name_metric("coverage", level, quantiles[high])] = float(np.average(inside, weights=weight))
                found[name_metric("width", level, quantiles[high])] = float(np.average(last - first, weights=weight))
    return found


def _find_constant(part: Part, contract: Contract) -> Array:
    """Return the best constant answer on a part, of the shape of one row's answer."""
    if contract.task == "classification":
        codes = encode_labels(part.target, contract.labels)
        counts = np.bincount(codes, weights=part.weight, minlength=len(contract.labels))
        return np.asarray(counts / counts.sum())
    loss = find_loss(contract.metric) or LOSSES["rmse"]()  # the mean is best for R², too
    return loss.constant(part.target.to_numpy(float), part.weight)


def _score(answers: Array, part: Part, contract: Contract, reported: Sequence[str]) -> dict[str, float]:
    """Return the metric of the training, and the others that are reported for the task, where the part defines them."""
    true = find_true(part, contract)
    others = () if contract.quantiles else REPORTED[contract.task]
    names = dict.fromkeys(([contract.metric] if contract.metric else []) + [*others, *reported])
    scores = {name: score_metric(name, true, answers, part.weight, threshold=contract.threshold) for name in names}
    scores |= score_intervals(true, answers, part.weight, quantiles=contract.quantiles)
    return {name: score for name, score in scores.items() if np.isfinite(score)}
