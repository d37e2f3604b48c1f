"""The learning curve over training rows: would more rows help? Models learn from growing parts of the training rows.

The validation rows judge all of them; the test rows are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from boostlab.data.chance import find_units, space_rows
from boostlab.data.columns import Columns
from boostlab.data.splits import Part, Split
from boostlab.display.numbers import format_number
from boostlab.errors import DataError, TrainingError
from boostlab.evaluation.metric_names import find_range, is_higher_better
from boostlab.evaluation.metrics import answer_part, find_true, score_metric
from boostlab.evaluation.slices import choose_loss
from boostlab.models.contract import Contract
from boostlab.training.callbacks import Watch
from boostlab.training.fit import Fit, fit_booster, open_workers
from boostlab.training.row_order import RowOrder, order_rows
from boostlab.training.settings import Train
from boostlab.training.side_by_side import train_side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from boostlab.tracking.run import Run

SHARES = 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0  # of the training rows: each size is twice the one before
DRAWS = 5  # of each size but the last
FEWEST_ROWS, FEWEST_GROUPS = 20, 2  # of the smallest size
MOST_ROWS = 5_000  # validation rows that the interval rests on
RESAMPLES = 100  # of a metric that is a mean over rows
FEW_RESAMPLES = 50  # of another one, which takes a hundred times as long
ALPHA = 0.025  # on each side of an interval
SMALL = 0.02  # of the distance to a perfect metric: a smaller gain does not matter

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Size:
    """The models of one size."""

    rows: int  #: training rows, on average over the draws
    values: tuple[float, ...]  #: the metric of each draw
    gain: float  #: by how much the models of all rows are better
    low: float  #: lower end of the 95 % interval of the gain
    high: float  #: its upper end

    @property
    def mean(self) -> float:
        """The mean over the draws."""
        return float(np.mean(self.values))


@dataclass(frozen=True)
class LearningCurve:
    """The metric of the validation rows by the number of training rows; no sizes if it was not asked for."""

    sizes: tuple[Size, ...] = ()  #: the smallest first; the last one has all training rows
    metric: str = ""

    def metrics(self) -> dict[str, float]:
        """Return the gain by the last doubling of the rows, with its interval, as the run records it."""
        if not self.sizes:
            return {}
        half = self.sizes[-2]
        return {"learning_curve_gain": half.gain, "learning_curve_gain_low": half.low, "learning_curve_gain_high": half.high}

    def curves(self) -> dict[str, list[float]]:
        """Return what the run records per size: the training rows, and the metric."""
        if not self.sizes:
            return {}
        rows, means = [float(size.rows) for size in self.sizes], [size.mean for size in self.sizes]
        return {"learning_curve_rows": rows, f"learning_curve_{self.metric}": means}

    def describe(self) -> str:
        """Return in a sentence whether more rows would help; empty without sizes."""
        if not self.sizes:
            return ""
        half, full = self.sizes[-2:]
        perfect = find_range(self.metric)[is_higher_better(self.metric)]
        if half.low > 0:
            verdict = "more rows would probably help"
        elif half.high < SMALL * abs(full.mean - perfect):
            verdict = "more rows would hardly help"
        else:
            verdict = "whether more rows would help is not sure"
        by_time = "" if len(half.values) > 1 else ", for the choice of the validation rows alone"
        return (
            f"Twice the training rows, {full.rows:,} for {half.rows:,}, make the validation {self.metric} "
            f"{'better' if half.gain >= 0 else 'worse'} by {format_number(abs(half.gain))} "
            f"(95 % interval of the gain {format_number(half.low)} to {format_number(half.high)}{by_time}), "
            f"to {format_number(full.mean)}: {verdict}."
        )

    def plot(self) -> dict[str, Figure]:
        """Return the figure by its name, if there are sizes to draw."""
        if not self.sizes:
            return {}
        from boostlab.training.plots import plot_sizes

        return {"learning_curve_size": plot_sizes(self)}


def learn_sizes(split: Split, columns: Columns, settings: Train, *, run: Run | None = None) -> LearningCurve:
    """Train models on a sixteenth to all of the training rows, and return their metric on the validation rows.

    Each draw of rows contains the smaller ones. It keeps groups and equal rows together, as the split does, and the shares of the
    classes. Of a split by time there is one draw: the latest rows. The columns are those of the whole training part. Models are
    trained side by side, or one after the other on workers; the result does not depend on their order.

    Parameters
    ----------
    run : Run, optional
        Workers of this machine keep their files in its folder.

    Raises
    ------
    TrainingError
        If there are too few training rows or groups, or XGBoost refuses a training.
    KeyboardInterrupt
        After an interrupt; the models so far are dropped.

    Notes
    -----
    The variance of a gain is that over validation rows, plus that between draws. The former is that of the Bayesian bootstrap
    (D. B. Rubin, Annals of Statistics 9, 1981), with the same weights for all models, and one weight for a group or a set of
    equal rows. The latter counts for the mean of the draws, and half for the model of all rows, which has no other draw. The
    interval is that of Student's t with the degrees of freedom of Welch and Satterthwaite.
    """
    if not settings.learning_curve:
        return LearningCurve()
    by_time = settings.split == "time"
    orders = [order_rows(split.train, settings, seed=draw) for draw in range(1 if by_time else DRAWS)]
    shares = _choose_shares(orders[0])
    jobs = [(share, draw) for share in reversed(shares) for draw in range(len(orders) if share < 1 else 1)]  # the longest first

    def train(job: tuple[float, int], own: Train, watch: Watch) -> tuple[int, Fit]:
        share, draw = job
        part = split.train.take(orders[draw].take(share))
        try:
            return len(part), fit_booster(replace(split, train=part), columns, own, watch=watch, workers=workers)
        except (DataError, TrainingError) as error:
            raise type(error)(f"Learning curve, {len(part):,} training rows: {error}") from None

    with open_workers(settings, run) as workers:
        done = train_side_by_side(train, jobs, settings, name="learning curve", unit="models")
    trained = dict(zip(jobs, done, strict=True))
    fits = [[trained[share, draw] for draw in range(len(orders)) if (share, draw) in trained] for share in shares]
    return _judge(fits, split)


def _choose_shares(order: RowOrder) -> list[float]:
    shares = [share for share in SHARES if share * order.rows >= FEWEST_ROWS and share * order.units >= FEWEST_GROUPS]
    if len(shares) < 2:
        raise TrainingError(
            f"learning_curve = True needs at least {2 * FEWEST_ROWS} training rows with a weight, in {2 * FEWEST_GROUPS} groups "
            f"or more. There are {order.rows} rows in {order.units} groups, counting equal rows once. Lower valid_size."
        )
    return shares


def _judge(fits: list[list[tuple[int, Fit]]], split: Split) -> LearningCurve:
    """Return the curve of the models of each size."""
    contract, valid = fits[-1][0][1].predictor.contract, split.valid
    true, weight = find_true(valid, contract), valid.weight
    answers = [[answer_part(fit.predictor, valid) for _, fit in drawn] for drawn in fits]
    values = [[score_metric(contract.metric, true, each, weight) for each in drawn] for drawn in answers]
    sign = -1 if is_higher_better(contract.metric) else 1
    means = _resample(answers, valid, contract)
    over_rows = (means[:, :-1] - means[:, -1:]).var(axis=0, ddof=1)
    full, sizes = values[-1][0], []
    for place, (drawn, found) in enumerate(zip(fits[:-1], values[:-1], strict=True)):
        gain = sign * (float(np.mean(found)) - full)
        margin = _find_margin(float(over_rows[place]), found)
        sizes.append(Size(round(np.mean([rows for rows, _ in drawn])), tuple(found), gain, gain - margin, gain + margin))
    return LearningCurve((*sizes, Size(fits[-1][0][0], (full,), 0.0, 0.0, 0.0)), contract.metric)


def _resample(answers: list[list[Array]], valid: Part, contract: Contract) -> Array:
    """Return the metric of each size, the mean of its models, for other weights of the validation rows.

    Returns
    -------
    ndarray of shape (n_resamples, n_sizes)
        Its variance over the resamples is that for as many rows as the part has.
    """
    chosen = space_rows(valid, MOST_ROWS)
    true, units = find_true(valid, contract)[chosen], find_units(valid.table, valid.rows[chosen])
    own = np.ones(len(chosen)) if valid.weight is None else valid.weight[chosen].astype(float)
    metric, loss = choose_loss(contract)
    is_mean = metric == contract.metric
    draws = np.random.default_rng(0).standard_exponential((RESAMPLES if is_mean else FEW_RESAMPLES, units.max() + 1))
    weights = own * draws[:, units]
    columns = []
    for drawn in answers:
        kept = [each[chosen] for each in drawn]
        if is_mean:
            scores = [weights @ loss.rows(true, each) / weights.sum(axis=1) for each in kept]
            columns.append(np.mean([score**0.5 if loss.is_root else score for score in scores], axis=0))
        else:
            columns.append([np.mean([score_metric(contract.metric, true, each, weight) for each in kept]) for weight in weights])
    means = np.array(columns).T
    counted = len(valid) if valid.weight is None else np.count_nonzero(valid.weight)
    share = 1.0 if valid.table.roles.group else len(chosen) / counted
    return np.asarray(means.mean(axis=0) + (means - means.mean(axis=0)) * share**0.5)


def _find_margin(over_rows: float, values: list[float]) -> float:
    """Return half of the interval of a gain, from its variance over validation rows and the values of the draws."""
    between = float(np.var(values, ddof=1)) * (1 / len(values) + 1 / 2) if len(values) > 1 else 0.0
    variance = over_rows + between
    freedom = (len(values) - 1) * (variance / between) ** 2 if between else np.inf
    return float(stats.t.isf(ALPHA, freedom) * variance**0.5)
