"""Paired comparison of two models on the same rows, for the comparison and the registry's gate.

`champion` is the present model, `challenger` the one that may replace it. :mod:`boostlab.comparison.rows` finds the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from boostlab.display.numbers import format_number
from boostlab.errors import LabError, suggest
from boostlab.evaluation.jackknife import CLASSIFICATION, REGRESSION, score_without
from boostlab.evaluation.metric_names import is_higher_better, strip_part
from boostlab.models.contract import Task

ALPHA = 0.025  # how often a challenger that is as good as the champion may be called better
FEWEST_ROWS = 20  # with fewer, a few rows decide
FEWEST_GROUPS = 10

Array = np.ndarray[Any, Any]
Verdict = Literal["better", "worse", "no significant difference"]


@dataclass(frozen=True)
class Pair:
    """Two models' answers to the same rows."""

    true: Array  #: numbers, or positions in `labels`; shape (n_rows,)
    champion: Array  #: predictions, shape (n_rows,), or probabilities in the order of `labels`, shape (n_rows, n_classes)
    challenger: Array  #: the same for the other model
    task: Task
    labels: list[Any]
    basis: str  #: which rows these are, in a sentence
    caution: str = ""  #: why they may favour one model; empty: neither was trained on them
    weight: Array | None = None
    groups: Array | None = None  #: a number for each row's group, shape (n_rows,); None: the rows are independent
    predicted: tuple[Array, Array] | None = None  #: the chosen classes of both, as positions; None: the most probable ones
    has_valid_rows: bool = False  #: whether the validation rows, which rank the runs, are among these rows

    def __len__(self) -> int:
        return len(self.true)


@dataclass(frozen=True)
class Difference:
    """The difference between challenger and champion in one metric."""

    metric: str
    champion: float
    challenger: float
    low: float  #: lower end of the interval of challenger − champion
    high: float  #: its upper end
    rows: int
    verdict: Verdict  #: the challenger is better or worse only if the whole interval lies on one side of zero
    basis: str
    caution: str
    alpha: float = ALPHA  #: the error on each side of the interval: 0.025 for 95 %
    groups: int = 0  #: the number of groups of rows; 0 if there are none

    @property
    def value(self) -> float:
        """Challenger − champion."""
        return self.challenger - self.champion

    @property
    def level(self) -> str:
        """The level of the interval, such as ``95 %``, rounded down to at most ``99.99 %``."""
        return f"{min(100 - 200 * self.alpha, 99.99):.4g} %"

    def describe(self, champion: str = "the champion", challenger: str = "the challenger") -> str:
        """Return the verdict, the metric of each and the interval in words."""
        interval = f"a difference of {self.value:+.3g} ({self.level} interval {self.low:+.3g} to {self.high:+.3g})"
        rows = f"{self.rows} rows" + (f" in {self.groups} groups" if self.groups else "")
        metrics = f"{self.metric} {format_number(self.challenger)} against {format_number(self.champion)} on {rows}, {interval}"
        said = f"{challenger[0].upper()}{challenger[1:]} is {self.verdict} than {champion}"
        if self.verdict == "no significant difference":
            said = f"No significant difference between {challenger} and {champion}"
        few = ""
        if _are_few(self.rows, self.groups):
            few = f" At least {FEWEST_ROWS} rows, in at least {FEWEST_GROUPS} groups if there are groups, make a verdict."
        return f"{said}: {metrics}.{few} {self.basis} {self.caution}".rstrip()


def compare_pair(pair: Pair, *, metric: str, alpha: float = ALPHA) -> Difference:
    """Return the difference between challenger and champion, with its interval.

    Parameters
    ----------
    metric : str
        A metric of the test part, as ``test_rmse`` or ``rmse``.
    alpha : float
        The error on each side of the interval: 0.025 for an interval of 95 %.

    Raises
    ------
    LabError
        If the metric has no paired form, or the rows do not define it.

    Notes
    -----
    The interval is that of Student's t with the standard error of the jackknife, which leaves out each row, or each group of rows
    (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11). It assumes independent rows or groups.
    It covers chance in the rows, and not in the training: runs that differ in the seed alone can differ significantly.
    ``benchmarks/calibration`` measures how often it errs.
    """
    from scipy import stats

    name = strip_part(metric)
    known: Collection[str] = REGRESSION if pair.task == "regression" else CLASSIFICATION
    if pair.task == "regression" and pair.challenger.ndim > 1:
        known = ("pinball",)
    if pair.task == "classification" and len(pair.labels) > 2:
        known = [each for each in known if each != "cost"]
    if name.partition(":")[0] not in known:
        raise LabError(
            f"{metric!r} cannot compare two models on the same rows.{suggest(name, known)} "
            f"For {pair.task}, use one of: {', '.join(known)}."
        )
    answers = [pair.champion, pair.challenger]
    rows: dict[str, Any] = {"weight": pair.weight, "groups": pair.groups, "predicted": pair.predicted}
    scores = score_without(pair.true, answers, metric=name, labels=len(pair.labels), **rows)
    champion, challenger = (float(score) for score in scores[:, 0])
    if not np.isfinite(scores).all():
        raise LabError(f"{name} is not defined on these {len(pair)} rows, or not without one of them. Choose another metric.")
    value, left_out = challenger - champion, scores[1, 1:] - scores[0, 1:]
    units = len(left_out)
    error = float(np.sqrt((units - 1) * left_out.var())) * float(stats.t.isf(alpha, max(units - 1, 1)))
    low, high = value - error, value + error
    groups = 0 if pair.groups is None else len(np.unique(pair.groups))
    verdict: Verdict = "no significant difference"
    if not _are_few(len(pair), groups) and (low > 0 or high < 0):
        verdict = "better" if (low > 0) == is_higher_better(name) else "worse"
    return Difference(name, champion, challenger, low, high, len(pair), verdict, pair.basis, pair.caution, alpha, groups)


def _are_few(rows: int, groups: int) -> bool:
    return rows < FEWEST_ROWS or 0 < groups < FEWEST_GROUPS
