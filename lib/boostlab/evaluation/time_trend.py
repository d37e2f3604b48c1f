"""The errors of the test rows along time: their running mean, and whether they grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from boostlab.data.chance import ALPHA, average, find_units, space_evenly, space_rows
from boostlab.data.splits import Part
from boostlab.data.table import to_series
from boostlab.data.times import check_times, is_numeric
from boostlab.display.numbers import format_number
from boostlab.errors import DataError
from boostlab.evaluation.metrics import Evaluation, find_true
from boostlab.evaluation.slices import MOST_ROWS, WORTH, choose_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 40  # rows with a time
WINDOW = 0.1  # of the rows, for the running mean
STEPS = 60  # of the running mean
BLOCKS = 5, 10, 20  # of consecutive rows that count together where there are no groups: errors of one season are alike
FEWEST_GROUPS = 10  # for a test
NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard errors

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Running:
    """A running mean; each array has one value per window, in the order of time."""

    times: Array  #: time in the middle of a window
    mean: Array
    low: Array  #: lower end of the 95 % interval of the mean
    high: Array  #: its upper end


@dataclass(frozen=True)
class TimeTrend:
    """The errors of test rows in the order of their times."""

    evaluation: Evaluation
    times: Array  #: dates or numbers, ascending; shape (n_rows,)
    errors: Array  #: the truth less the prediction, of classes the log loss; shape (n_rows,)
    weight: Array  #: shape (n_rows,)
    running: Running
    metric: str  #: what `early` and `late` are, a mean over rows
    early: float  #: the metric on the first quarter of the rows
    late: float  #: the metric on the last one
    p: float  #: how probable so strong a growth is by chance; 1 if there are too few groups or times to tell

    @property
    def grows(self) -> bool:
        """Whether the error grows, more than chance allows, and by enough to matter."""
        return self.p < ALPHA and self.late > WORTH * self.early


@dataclass(frozen=True)
class Trends:
    """The trend along the table's column of times; none without such a column, or with few test rows."""

    trend: TimeTrend | None = None

    @property
    def findings(self) -> list[str]:
        """A sentence if the error grows along time."""
        found = self.trend
        if found is None or not found.grows:
            return []
        early, late = format_number(found.early), format_number(found.late)
        name = found.evaluation.part.table.roles.time
        return [
            f"The error grows along {name!r}: {found.metric} {late} on the last quarter of the test rows, {early} on the first."
        ]

    def plot(self) -> dict[str, Figure]:
        """Return the figure by its name, if there is a trend to draw."""
        if self.trend is None:
            return {}
        from boostlab.evaluation.plots import plot_over_time

        return {"errors_over_time": plot_over_time(self.trend)}


def find_trends(evaluation: Evaluation) -> Trends:
    """Return the errors of the test rows along the table's column of times.

    Notes
    -----
    The error grows if the ranks of the rows' losses rise with those of their times (one-sided test of the slope). The standard
    error is robust: rows of one group count together. Without groups, the rows of each fifth, tenth and twentieth of the test
    part do, and the largest of the three p-values counts: so errors may be alike for some time, without a trend.
    """
    part, contract = evaluation.part, evaluation.contract
    chosen, times = _read_times(part) if part.table.roles.time else (np.empty(0, int), pd.Series())
    if len(chosen) < FEWEST:
        return Trends()
    order = np.argsort(times.to_numpy(), kind="stable")
    units = find_units(part.table, part.rows[chosen])[order] if part.table.roles.group else None
    chosen, times = chosen[order], times.iloc[order]
    metric, loss = choose_loss(contract)
    true, answers = find_true(part, contract)[chosen], evaluation.answers[chosen]
    losses = loss.rows(true, answers)
    errors = losses if contract.labels else true - answers.reshape(len(true), -1)[:, contract.middle]
    weight = np.ones(len(chosen)) if part.weight is None else part.weight[chosen].astype(float)
    quarter = len(chosen) // 4
    first, last = slice(0, quarter), slice(len(chosen) - quarter, None)
    early, late = (loss.score(true[side], answers[side], weight[side]) for side in (first, last))
    ranks, of_losses = times.rank().to_numpy(), pd.Series(losses).rank().to_numpy()
    if units is None:
        blocks = [(ranks * count / (len(ranks) + 1)).astype(int) for count in BLOCKS]
        p = max(judge_growth(ranks, of_losses, weight, block) for block in blocks)
    else:
        p = judge_growth(ranks, of_losses, weight, units) if len(np.unique(units)) >= FEWEST_GROUPS else 1.0
    running = _run(times, errors, weight, np.arange(len(chosen)) if units is None else units)
    return Trends(TimeTrend(evaluation, times.to_numpy(), errors, weight, running, metric, early, late, p))


def judge_growth(times: Array, losses: Array, weight: Array, units: Array) -> float:
    """Return the one-sided p-value of a slope of losses over times, robust to what rows of one unit have in common.

    Parameters
    ----------
    times, losses, weight, units : ndarray of shape (n_rows,)

    Returns
    -------
    float
        1 if there are fewer than five units.

    Notes
    -----
    The variance is that of K.-Y. Liang and S. Zeger (Biometrika 73, 1986), with Student's t for as many units less two.
    """
    count = len(np.unique(units))
    x = times - np.average(times, weights=weight)
    y = losses - np.average(losses, weights=weight)
    scale = float(weight @ x**2)
    if count < BLOCKS[0] or not scale:
        return 1.0
    slope = float(weight @ (x * y)) / scale
    sums = np.bincount(np.unique(units, return_inverse=True)[1], weights=weight * x * (y - slope * x))
    error = float(np.sqrt(count / (count - 1) * (sums**2).sum())) / scale
    return float(stats.t.sf(slope / error, count - 2)) if error else 1.0


def _read_times(part: Part) -> tuple[Array, pd.Series]:
    """Return the positions in the part of at most 20,000 rows with a weight and a time, and the times."""
    chosen, name = space_rows(part, MOST_ROWS), part.table.roles.time
    values = to_series(part.table.take([name], part.rows[chosen]), name)
    kept = values.notna().to_numpy()
    try:
        times = check_times(values[kept])
    except DataError:  # truth values, which have an order and no distance
        return np.empty(0, int), values
    return chosen[kept], times if is_numeric(times) else times.dt.tz_localize(None)


def _run(times: pd.Series, errors: Array, weight: Array, units: Array) -> Running:
    """Return the mean of each of up to 60 overlapping windows, with rows of one unit together."""
    width = max(FEWEST // 2, round(WINDOW * len(errors)))
    windows = [slice(start, start + width) for start in space_evenly(len(errors) - width + 1, STEPS).tolist()]
    means = [average(errors[window], weight[window], units[window]) for window in windows]
    mean, error = np.array([found[0] for found in means]), np.array([found[1] for found in means])
    middle = [times.iloc[window].iloc[width // 2] for window in windows]
    return Running(pd.Series(middle).to_numpy(), mean, mean - NORMAL * error, mean + NORMAL * error)
