"""Cross-validation: a model for each fold, and the answers to all rows by models that do not know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from boostlab.data.columns import Columns, profile_columns
from boostlab.data.folds import split_folds, use_all_rows
from boostlab.data.splits import Part, Split
from boostlab.data.table import Table
from boostlab.display.numbers import format_number
from boostlab.errors import DataError, TrainingError
from boostlab.evaluation.metric_names import UNITS, find_range
from boostlab.evaluation.metrics import Evaluation, answer_part, evaluate_test
from boostlab.models.answers import choose_classes
from boostlab.training.callbacks import Watch
from boostlab.training.fit import Fit, fit_booster, open_workers
from boostlab.training.settings import Train
from boostlab.training.side_by_side import train_side_by_side

if TYPE_CHECKING:
    from distributed import Client

    from boostlab.tracking.run import Run

ALPHA = 0.025  # on each side of an interval

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Fold:
    """A model, and what it answers to the rows of its fold."""

    split: Split
    fit: Fit  #: with its own calibration and threshold, chosen on its validation rows
    evaluation: Evaluation
    raw: Array  #: the booster's own answers, before the calibration


@dataclass(frozen=True)
class Score:
    """A metric over the folds."""

    mean: float
    deviation: float  #: the standard deviation between folds
    low: float  #: lower end of the interval of the mean, of 95 %
    high: float  #: its upper end


@dataclass(frozen=True)
class CrossValidation:
    """The folds' models and metrics; no folds if none were requested."""

    folds: tuple[Fold, ...] = ()
    repeats: int = 1

    @cached_property
    def values(self) -> pd.DataFrame:
        """The metrics of each fold: a row for each fold, a column for each metric that all folds define."""
        table = pd.DataFrame([fold.evaluation.scores for fold in self.folds]).dropna(axis="columns")
        return table.rename_axis(index="fold")

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Each metric over the folds, that of the training first."""
        if not self.folds:
            return {}
        known = [len(fold.split.train) + len(fold.split.valid) for fold in self.folds]
        ratio = float(np.mean([len(fold.split.test) / count for fold, count in zip(self.folds, known, strict=True)]))
        return {
            str(name): summarise(self.values[name].to_numpy(), ratio=ratio, within=find_range(str(name))) for name in self.values
        }

    @property
    def undefined(self) -> list[str]:
        """The metrics that not every fold defines, such as the ROC AUC of a fold with one class: they have no mean."""
        named = [name for fold in self.folds for name in (fold.fit.metric, *fold.evaluation.scores)]
        return [name for name in dict.fromkeys(named) if name not in self.values]

    def metrics(self) -> dict[str, float]:
        """Return the figures that the run records: ``cv_rmse``, ``cv_rmse_std``, ``cv_rmse_low`` and ``cv_rmse_high``."""
        named = {name: {"": s.mean, "_std": s.deviation, "_low": s.low, "_high": s.high} for name, s in self.scores.items()}
        return {f"cv_{name}{ending}": value for name, figures in named.items() for ending, value in figures.items()}

    def curves(self) -> dict[str, list[float]]:
        """Return what the run records per fold: ``fold_rmse`` with a value per fold, ``fold_1_valid_rmse`` with one per round."""
        by_fold = {f"fold_{name}": self.values[name].tolist() for name in self.values}
        rounds = {
            f"fold_{number}_{name}": curve
            for number, fold in enumerate(self.folds, 1)
            for name, curve in fold.fit.curves.items()
            if name.startswith("valid_")
        }
        return by_fold | rounds

    @cached_property
    def out_of_fold(self) -> Evaluation | None:
        """The answers to each row by the model that does not know it, in the first repeat; None without folds.

        Of a split by time, the rows of the first block have no answer.
        """
        if not self.folds:
            return None
        first = self._first_repeat
        rows = np.concatenate([fold.evaluation.part.rows for fold in first])
        order = np.argsort(rows)
        parts = [fold.evaluation.part for fold in first]
        target = pd.concat([part.target for part in parts]).iloc[order]
        weights = [part.weight for part in parts if part.weight is not None]
        part = Part(parts[0].table, rows[order], target, np.concatenate(weights)[order] if weights else None)
        contracts = [fold.fit.predictor.contract for fold in first]
        answers = [fold.evaluation.answers for fold in first]
        chosen = None
        if contracts[0].threshold is not None:
            each = [choose_classes(found, one.threshold) for found, one in zip(answers, contracts, strict=True)]
            chosen = np.concatenate(each)[order]
        return Evaluation(part, contracts[0], np.concatenate(answers)[order], {}, {}, chosen)

    @property
    def raw(self) -> Array:
        """The answers to the rows of :attr:`out_of_fold` before each fold's calibration."""
        first = self._first_repeat
        order = np.argsort(np.concatenate([fold.evaluation.part.rows for fold in first]))
        return np.concatenate([fold.raw for fold in first])[order]

    @property
    def _first_repeat(self) -> tuple[Fold, ...]:
        return self.folds[: len(self.folds) // self.repeats]

    def describe(self) -> str:
        """Return the result in a sentence; empty without folds."""
        if not self.folds:
            return ""
        name, score = next(iter(self.scores.items()))
        times = f", drawn {self.repeats} times" if self.repeats > 1 else ""
        return (
            f"Over {len(self.folds) // self.repeats} folds{times} the {name} is {format_number(score.mean)} on average, "
            f"95 % interval {format_number(score.low)} to {format_number(score.high)}."
            + (f" Not every fold defines {', '.join(self.undefined)}." if self.undefined else "")
        )

    def tabulate(self) -> pd.DataFrame | None:
        """Return each metric over the folds as a table for people; None without folds."""
        if not self.folds:
            return None
        table = pd.DataFrame({name: vars(score) for name, score in self.scores.items()}).T
        table.columns = pd.Index(["mean", "standard deviation", "95 % interval: from", "to"])
        table["unit"] = [UNITS.get(str(name).partition(":")[0], "0 to 1") for name in table.index]
        return table.rename_axis(f"metric over {len(self.folds)} folds")


def cross_validate(table: Table, settings: Train, splits: Sequence[Split] = (), *, run: Run | None = None) -> CrossValidation:
    """Train a model for each fold with the parameters of the notebook, and evaluate it on the fold.

    Each model decides about columns on its own training rows. Its own validation rows stop it, and choose its calibration and its
    threshold. It is evaluated on rows that had no part in either. If the models of the folds become one model, their columns are
    decided on all rows, as one model has one contract. Folds are trained side by side, each with its share of the cores, or one
    after the other on workers. The result does not depend on their order.

    Parameters
    ----------
    splits : sequence of Split
        The folds, if they are drawn already: see :func:`boostlab.data.folds.split_folds`.
    run : Run, optional
        If it is a trial of a sweep that prunes, it reports the metric of each fold, with the number of the fold as the step.
        Workers of this machine keep their files in its folder.

    Raises
    ------
    DataError
        If the folds cannot be drawn: see :func:`boostlab.data.folds.split_folds`.
    TrainingError
        If XGBoost refuses the training.
    KeyboardInterrupt
        After an interrupt; the folds so far are dropped.
    """
    if not settings.folds:
        return CrossValidation()
    splits = splits or split_folds(table, settings)
    columns = profile_columns(use_all_rows(table)) if settings.final_model == "folds" else None

    def train(job: tuple[int, Split], own: Train, watch: Watch) -> Fold:
        return _train_fold(*job, settings=own, columns=columns, watch=watch, workers=workers)

    def report(number: int, fold: Fold) -> None:
        metric = fold.fit.metric
        if run is not None and metric in fold.evaluation.scores:
            run.report(f"cv_{metric}", fold.evaluation.scores[metric], step=number + 1)

    with open_workers(settings, run) as workers:
        folds = train_side_by_side(train, list(enumerate(splits)), settings, name="cross-validation", unit="folds", use=report)
    return CrossValidation(tuple(folds), settings.repeats)


def summarise(values: Array, *, ratio: float, within: tuple[float, float] = (-np.inf, np.inf)) -> Score:
    """Return mean, deviation and interval of a metric's values over folds.

    Parameters
    ----------
    values : ndarray of shape (n_folds,)
    ratio : float
        The number of rows that a fold tests, as a share of those that its model knows.
    within : tuple of float
        The least and the largest value that the metric can have: the interval ends there.

    Notes
    -----
    Folds share training rows, so their values are not independent, and the usual interval is too narrow. The variance is
    corrected as C. Nadeau and Y. Bengio propose (Inference for the Generalization Error, Machine Learning 52, 2003): it is
    multiplied by ``1 / n_folds + ratio`` instead of ``1 / n_folds``. The interval is that of Student's t.
    """
    count, mean = len(values), float(values.mean())
    deviation = float(values.std(ddof=1))
    error = deviation * (1 / count + ratio) ** 0.5 * float(stats.t.isf(ALPHA, count - 1))
    return Score(mean, deviation, max(within[0], mean - error), min(within[1], mean + error))


def _train_fold(
    number: int, split: Split, *, settings: Train, columns: Columns | None, watch: Watch, workers: Client | None
) -> Fold:
    try:
        fit = fit_booster(split, columns or profile_columns(split), settings, watch=watch, workers=workers)
        decided = fit.decide(split, settings)
    except (DataError, TrainingError) as error:
        raise type(error)(f"Fold {number % settings.folds + 1} of {settings.folds}: {error}") from None
    evaluation = evaluate_test(decided.predictor, split, reported=decided.decision.reported)
    raw = evaluation.answers if decided is fit else answer_part(fit.predictor, split.test)
    return Fold(split, decided, evaluation, raw)
