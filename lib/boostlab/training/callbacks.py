"""What happens after each boosting round: metrics, refusals, an end by hand."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from boostlab.errors import TrainingError, TrialPruned
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.evaluation.metrics import score_metric
from boostlab.models.answers import to_answers
from boostlab.models.contract import Contract
from boostlab.signals import sigint_noted

if TYPE_CHECKING:
    from boostlab.tracking.run import Run


@dataclass(frozen=True)
class Watch:
    """What is noted while boosters are trained, in this thread and in others."""

    warned: list[warnings.WarningMessage]  #: XGBoost's warnings
    stop: threading.Event  #: set by an interrupt (SIGINT)


@contextmanager
def watched() -> Iterator[Watch]:
    """Note warnings and an interrupt, and pass on the warnings in the end: both belong to the process, and not to a thread."""
    with warnings.catch_warnings(record=True) as warned, sigint_noted() as stop:
        warnings.simplefilter("always")
        yield Watch(warned, stop)
    for warning in warned:
        warnings.warn(warning.message, warning.category, stacklevel=3)


def refuse_undefined(metric: str, value: float) -> None:
    """Raise a TrainingError if the metric of the validation part is no number."""
    if np.isnan(value):
        raise TrainingError(
            f"The metric {metric} is not defined on the validation part, as of one class: no "
            "round would be the best. Change the split, or choose another metric."
        )


class Scorer(xgb.callback.TrainingCallback):
    """Adds the metric of each part to the history, by our name: XGBoost's own value if it has the metric, else ours."""

    def __init__(self, parts: Mapping[str, xgb.DMatrix], contract: Contract, native: str | None) -> None:
        super().__init__()
        self._parts, self._contract, self._native = parts, contract, native

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        metric = self._contract.metric
        for name, data in self._parts.items() if self._native != metric else ():
            lines = evals_log.setdefault(name, {})
            score = lines.pop(self._native)[0] if self._native else self._score(model, data)
            lines.setdefault(metric, []).append(score)
        refuse_undefined(metric, evals_log["valid"][metric][0])
        return False

    def _score(self, model: xgb.Booster, data: xgb.DMatrix) -> float:
        answers, weight = to_answers(model.predict(data), self._contract), data.get_weight()
        return score_metric(self._contract.metric, data.get_label(), answers, weight if len(weight) else None)


class Refuser(xgb.callback.TrainingCallback):
    """Turns XGBoost's warnings into errors: an unused parameter, an absent device."""

    def __init__(self, warned: list[warnings.WarningMessage]) -> None:
        super().__init__()
        self._warned = warned

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        for warning in self._warned if epoch == 0 else ():
            text = str(warning.message)
            if "are not used" in text:
                names = re.findall(r'"(\w+)"', text)
                raise TrainingError(f"XGBoost has no use for {', '.join(map(repr, names))} in this training. Leave it out.")
            if "No visible GPU" in text:
                raise TrainingError("device: XGBoost finds no GPU here. Set device to cpu.")
        return False


class Stopper(xgb.callback.TrainingCallback):
    """Ends the training after the round in which an interrupt arrived."""

    def __init__(self, requested: threading.Event) -> None:
        super().__init__()
        self._requested = requested

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        return self._requested.is_set()


class RoundReports(xgb.callback.TrainingCallback):
    """Reports the best validation metric so far to the sweep, if the training is a trial of one that prunes.

    Each report waits for an answer. So their rounds grow by a fifth, and 1,000 rounds have about 30 reports.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run, self._next = run, 0

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        if epoch < self._next:
            return False
        self._next = max(epoch + 1, epoch * 6 // 5)
        metric, values = list(evals_log["valid"].items())[-1]
        best = max(values) if is_higher_better(metric) else min(values)
        try:
            self._run.report(f"best_valid_{metric}", best, step=epoch + 1)
        except TrialPruned:
            self._run.log_curves({f"{part}_{metric}": lines[metric] for part, lines in evals_log.items()})
            raise
        return False
