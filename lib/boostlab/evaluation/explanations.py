"""What a model's predictions rest on, on rows that it has not learned from: contributions, permutation importance and gain.

:mod:`boostlab.evaluation.explanation_plots` draws them. At most 1,000 rows are explained, because contributions take some hundred
times as long as predictions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from boostlab.data.chance import space_rows
from boostlab.data.splits import Part
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.evaluation.metrics import find_true, score_metric
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor, encode_rows, safe_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS, FEWEST_ROWS = 1_000, 100
MOST_WORK = 700_000_000  # rows times bytes of the booster: some seconds
MOST_PERMUTED = 20  # columns: the others contribute less
REPEATS = 5  # permutations of a column

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Explanation:
    """Rows of a part with the contribution of each column to each output, and the importance of each column.

    Attributes
    ----------
    importance : DataFrame of shape (n_features, 5)
        By column, the largest contribution first: ``contribution``, the mean of its absolute value, and ``contribution_error``,
        the standard error of this mean over the rows; ``permutation``, by how much the metric is worse if the column's values
        are permuted, and ``permutation_error``, its standard error over five permutations (NaN beyond the first twenty columns);
        ``gain``, the mean loss reduction of its splits in training.
    """

    contract: Contract
    frame: pd.DataFrame  #: the columns of the rows, as a user sends them
    rows: Array  #: positions in the table, ascending; shape (n_rows,)
    true: Array  #: numbers, or positions of classes; shape (n_rows,)
    answers: Array  #: as :func:`~boostlab.models.predictor.to_answers` makes them
    weight: Array | None  #: shape (n_rows,)
    contributions: Array  #: shape (n_rows, n_outputs, n_features + 1), the bias last; no outputs if XGBoost has none
    unit: str  #: the unit of the contributions
    importance: pd.DataFrame
    part_rows: int  #: the size of the part; if it is larger than n_rows, the rows are a sample
    refusal: str = ""  #: why there are no contributions; empty if there are

    def plot(self, *, wanted: bool = True) -> Figure | None:
        """Draw the rows' contributions; None if the figure, which takes half a second, is not `wanted`."""
        from boostlab.evaluation.explanation_plots import plot_explanations

        return plot_explanations(self) if wanted else None

    def to_json(self) -> str:
        """Return the importances with what they were computed from, as the artifact of a run."""
        facts = {"rows": len(self.rows), "unit": self.unit, "metric": self.contract.metric, "refusal": self.refusal}
        columns = json.loads(self.importance.to_json(orient="index", double_precision=15))
        return json.dumps(facts | {"columns": columns}, indent=1)

    @property
    def shown(self) -> int:
        """The output that figures of all rows show: of three classes or more, the one that most rows belong to."""
        return int(np.bincount(self.true, self.weight).argmax()) if len(self.contract.labels) > 2 else self.contract.middle

    def rank_columns(self) -> list[str]:
        """Return the columns by their mean absolute contribution to the shown output, the largest first."""
        sizes = np.average(np.abs(self.contributions[:, self.shown, :-1]), axis=0, weights=self.weight)
        return [self.contract.names[place] for place in np.argsort(-sizes, kind="stable")]


def explain_model(predictor: Predictor, part: Part) -> Explanation:
    """Explain at most 1,000 rows of a part, evenly spaced, and of a large model fewer, but at least 100.

    A model that XGBoost cannot explain has no contributions, and the reason as `refusal`; its columns are in the order of gain.
    """
    contract = predictor.contract
    affordable = MOST_WORK // len(predictor.booster.save_raw("ubj"))
    chosen = space_rows(part, min(MOST_ROWS, max(affordable, FEWEST_ROWS)))
    rows, true = part.rows[chosen], find_true(part, contract)[chosen]
    frame = pd.concat(list(part.table.batches(contract.names, rows)), ignore_index=True)
    weight, refusal = None if part.weight is None else part.weight[chosen], ""
    try:
        contributions = predictor.contributions(frame)
    except ValueError as error:
        contributions, refusal = np.empty((len(frame), 0, len(contract.features) + 1)), str(error)
    inputs, gain = encode_rows(frame, contract.features), rank_gain(predictor)
    importance = pd.DataFrame({"contribution": np.nan, "contribution_error": np.nan, "gain": gain}, index=contract.names)
    if not refusal:
        sizes = np.abs(contributions[:, :, :-1]).mean(axis=1)
        importance["contribution"], importance["contribution_error"] = _average(sizes, weight)
    importance = importance.sort_values("gain" if refusal else "contribution", ascending=False, kind="stable")
    permuted = permute_columns(predictor, inputs, true, weight=weight, columns=list(importance.index[:MOST_PERMUTED]))
    for place, name in enumerate(("permutation", "permutation_error")):
        importance[name] = pd.Series({column: values[place] for column, values in permuted.items()}, dtype=float)
    answers = predictor.answer_inputs(inputs)
    facts = contributions, predictor.margin_unit, importance, len(part), refusal
    return Explanation(contract, frame, rows, true, answers, weight, *facts)


def permute_columns(
    predictor: Predictor, inputs: Array, true: Array, *, columns: list[str], weight: Array | None = None
) -> dict[str, tuple[float, float]]:
    """Return by how much the model's metric is worse if a column's values are permuted among the rows, and its standard error.

    The parts of a date are permuted together. :func:`sklearn.inspection.permutation_importance` takes a quarter of a second to
    load, and permutes one input at a time.

    Parameters
    ----------
    inputs : ndarray of float32, shape (n_rows, n_inputs)
        The rows as :func:`boostlab.models.predictor.encode_rows` encodes them.
    true : ndarray of shape (n_rows,)
        Numbers, or positions of classes.
    """
    contract, draw, count = predictor.contract, np.random.default_rng(0), len(inputs)
    metric = contract.metric or ("log_loss" if contract.labels else "rmse")
    sign = 1 if is_higher_better(metric) else -1
    whole = score_metric(metric, true, predictor.answer_inputs(inputs), weight)
    starts = [0, *accumulate(feature.width for feature in contract.features)]
    found = {}
    for column in columns:
        place = contract.names.index(column)
        own = slice(starts[place], starts[place + 1])
        permuted = np.tile(inputs, (REPEATS, 1))
        permuted[:, own] = np.concatenate([inputs[draw.permutation(count), own] for _ in range(REPEATS)])
        answers = np.split(predictor.answer_inputs(permuted), REPEATS)
        losses = [sign * (whole - score_metric(metric, true, each, weight)) for each in answers]
        found[column] = float(np.mean(losses)), float(np.std(losses, ddof=1) / REPEATS**0.5)
    return found


def rank_gain(predictor: Predictor) -> dict[str, float]:
    """Return the mean gain of each column's splits in training, largest first; 0 for a column without splits."""
    features = predictor.contract.features
    totals, counts = (predictor.booster.get_score(importance_type=name) for name in ("total_gain", "weight"))
    columns = [feature.name for feature in features for _ in range(feature.width)]
    gain = dict.fromkeys(columns, 0.0)
    splits = dict.fromkeys(columns, 0.0)
    for column, safe in zip(columns, safe_names(features), strict=True):
        gain[column] += float(np.mean(totals.get(safe, 0.0)))
        splits[column] += float(np.mean(counts.get(safe, 0.0)))
    means = {column: gain[column] / splits[column] if splits[column] else gain[column] for column in gain}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def _average(values: Array, weight: Array | None) -> tuple[Array, Array]:
    """Return the mean of each column of values, and its standard error; rows count by their weights."""
    share = np.full(len(values), 1.0) if weight is None else weight.astype(np.float64)
    share /= share.sum()
    mean = share @ values
    freed = len(values) / max(len(values) - 1, 1)
    return mean, np.sqrt(freed * (share**2 @ (values - mean) ** 2))
