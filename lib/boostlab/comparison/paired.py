"""Paired comparison of two models on the same rows, for the comparison and the registry's gate.

`champion` is the present model, `challenger` the one that may replace it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from boostlab.comparison.bootstrap import CLASSIFICATION, REGRESSION, score_draws
from boostlab.errors import LabError, suggest
from boostlab.models.contract import Contract, Task
from boostlab.models.packaging import fetch_predictor
from boostlab.training.holdout import Holdout, fetch_holdout
from boostlab.training.metrics import is_higher_better, strip_part

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boostlab.models.predictor import Predictor

LEVEL = 0.95
FEWEST_ROWS = 20  # with fewer, a bootstrap interval is too narrow

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

    def __len__(self) -> int:
        return len(self.true)


@dataclass(frozen=True)
class Difference:
    """The difference between challenger and champion in one metric."""

    metric: str
    champion: float
    challenger: float
    low: float  #: lower end of the 95 % bootstrap interval of challenger − champion
    high: float  #: its upper end
    rows: int
    verdict: Verdict  #: the challenger is better or worse only if the whole interval lies on one side of zero
    basis: str
    caution: str

    @property
    def value(self) -> float:
        """Challenger − champion."""
        return self.challenger - self.champion

    def describe(self, champion: str = "the champion", challenger: str = "the challenger") -> str:
        """Return the verdict, the metric of each and the interval in words."""
        interval = f"a difference of {self.value:+.3g} (95 % interval {self.low:+.3g} to {self.high:+.3g})"
        metrics = f"{self.metric} {self.challenger:.4g} against {self.champion:.4g} on {self.rows} rows, {interval}"
        said = f"{challenger[0].upper()}{challenger[1:]} is {self.verdict} than {champion}"
        if self.verdict == "no significant difference":
            said = f"No significant difference between {challenger} and {champion}"
        few = f" Fewer than {FEWEST_ROWS} rows are too few for a verdict." if self.rows < FEWEST_ROWS else ""
        return f"{said}: {metrics}.{few} {self.basis} {self.caution}".rstrip()


def compare_pair(pair: Pair, *, metric: str, draws: int = 2000, seed: int = 0) -> Difference:
    """Return the difference between challenger and champion, with the interval of a paired bootstrap over rows.

    Parameters
    ----------
    metric : str
        A metric of the test part, as ``test_rmse`` or ``rmse``.
    draws : int
        The number of bootstrap samples.

    Raises
    ------
    LabError
        If the metric has no paired form, or the rows do not define it.

    Notes
    -----
    The percentile interval of B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. It
    assumes independent rows.
    """
    name = strip_part(metric)
    known: Collection[str] = REGRESSION if pair.task == "regression" else CLASSIFICATION
    if pair.task == "regression" and pair.challenger.ndim > 1:
        known = ("pinball",)
    if name.partition(":")[0] not in known:
        raise LabError(
            f"{metric!r} cannot compare two models on the same rows.{suggest(name, known)} "
            f"For {pair.task}, use one of: {', '.join(known)}."
        )
    answers = [pair.champion, pair.challenger]
    scores = score_draws(pair.true, answers, metric=name, labels=len(pair.labels), weight=pair.weight, draws=draws, seed=seed)
    champion, challenger = (float(score) for score in scores[:, 0])
    if not np.isfinite([champion, challenger]).all():
        raise LabError(f"{name} is not defined on these {len(pair)} rows, as if all have one class. Choose another metric.")
    tail = (1 - LEVEL) / 2
    low, high = (float(bound) for bound in np.nanquantile(scores[1, 1:] - scores[0, 1:], [tail, 1 - tail]))
    verdict: Verdict = "no significant difference"
    if len(pair) >= FEWEST_ROWS and (low > 0 or high < 0):
        verdict = "better" if (low > 0) == is_higher_better(name) else "worse"
    return Difference(name, champion, challenger, low, high, len(pair), verdict, pair.basis, pair.caution)


def pair_runs(client: MlflowClient, *, champion: str, challenger: str) -> Pair:
    """Return the predictions of two runs, given by their ids, of the same rows.

    These are the rows that both runs held out, if their data is the same and there are at least 20; else all test rows of the
    challenger, which the champion's model then predicts.

    Raises
    ------
    LabError
        If the challenger has no stored test rows, the targets differ, or the champion's model is missing or cannot read the rows.
    """
    new = fetch_holdout(client, challenger)
    try:
        old = fetch_holdout(client, champion)
    except LabError:  # an old run without stored rows: its model can still predict
        old = None
    pair = None if old is None else pair_rows(old, new)
    return pair_predictor(fetch_predictor(client, champion), new, kept=old) if pair is None else pair


def pair_rows(old: Holdout, new: Holdout) -> Pair | None:
    """Return two models' predictions of the rows that both held out, or None if the data differs or the rows are too few.

    Raises
    ------
    LabError
        If the models predict different targets.
    """
    if _answer(old) != _answer(new) or old.target.name != new.target.name:
        raise LabError(
            f"The champion does {_describe(old)} of {str(old.target.name)!r}, the challenger "
            f"{_describe(new)} of {str(new.target.name)!r}. Only models of the same target can be compared."
        )
    if old.digest != new.digest:
        return None
    _, left, right = np.intersect1d(old.positions, new.positions, assume_unique=True, return_indices=True)
    if len(left) < min(FEWEST_ROWS, len(new)):
        return None
    answers = old.answers[left]
    if new.labels:
        answers = answers[:, [old.labels.index(label) for label in new.labels]]
    same = len(left) == len(old) == len(new)
    basis = f"The rows are {_all_or_some(new)} of the test part, which" if same else f"The rows are {len(left)} that"
    weight = None if new.weight is None else new.weight[right]
    return Pair(new.true[right], answers, new.answers[right], new.task, new.labels, f"{basis} both runs held out.", weight=weight)


def pair_predictor(champion: Predictor, rows: Holdout, *, kept: Holdout | None = None) -> Pair:
    """Return the champion's predictions of the challenger's test rows, next to the challenger's own.

    Parameters
    ----------
    kept : Holdout, optional
        The champion's own test rows, on which it was not trained.

    Raises
    ------
    LabError
        If the champion predicts another target, or cannot read the rows.
    """
    labels = champion.contract.labels
    if _answer(champion.contract) != _answer(rows):
        raise LabError(
            f"The champion's model does {_describe(champion.contract)}, the challenger's {_describe(rows)}. "
            "Only models of the same target can be compared."
        )
    try:
        answers = champion.answers(rows.frame)
        answers = answers[:, [labels.index(label) for label in rows.labels]] if labels else answers
    except ValueError as error:
        raise LabError(
            f"The champion's model cannot read the challenger's test rows: {error} Train both on the same columns."
        ) from None
    basis = f"The rows are {_all_or_some(rows)} of the challenger's test part, predicted again by the champion's model."
    return Pair(rows.true, answers, rows.answers, rows.task, rows.labels, basis, _warn(rows, kept), rows.weight)


def _warn(rows: Holdout, kept: Holdout | None) -> str:
    """Return a caution if the champion may have been trained on the challenger's test rows."""
    if kept is None or kept.digest != rows.digest:
        return "It is unknown whether the champion was trained on some of these rows, which would favour it."
    unseen = np.isin(rows.positions, kept.positions).sum()
    if kept.test_rows > len(kept):
        return "The champion may have been trained on some of these rows, which favours it."
    return f"The champion was trained on up to {len(rows) - unseen} of these {len(rows)} rows, which favours it."


def _answer(model: Holdout | Contract) -> tuple[Task, set[Any], tuple[float, ...]]:
    return model.task, set(model.labels), model.quantiles


def _describe(model: Holdout | Contract) -> str:
    """Return what a model answers, in words."""
    if model.quantiles:
        return f"{model.task} with the quantiles {', '.join(map(str, model.quantiles))}"
    labels = ", ".join(map(str, model.labels[:5])) + (" …" if len(model.labels) > 5 else "")
    return f"{model.task} into {labels}" if labels else model.task


def _all_or_some(rows: Holdout) -> str:
    return f"a sample of the {rows.test_rows}" if rows.test_rows > len(rows) else f"all {len(rows)}"
