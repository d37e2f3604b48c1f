"""Columns that reveal the target: a tree of one column alone predicts the target of other training rows.

A good feature finds all of 12 positives by luck. So a leak is sure only if the lower end of an interval is above a threshold.
The interval counts events: the rows of all classes but the largest, or in a regression the rows that carry the variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from boostlab.data.splits import Part
from boostlab.models.contract import Feature
from boostlab.models.predictor import ENCODERS

SUSPICIOUS = 0.999  # balanced accuracy, R² or rank correlation: more is a leak or luck
SURE_RECALL = 0.99  # of the events at least this share is found, with 95 % confidence: it takes 268 events
CONFIDENCE = 1.645  # standard deviations, one-sided 95 %
MOST_ROWS = 3_000  # that are looked at
COLUMNS_AT_ONCE = 100  # in memory
FEWEST_ROWS = 40  # fewer are no evidence

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Leak:
    """A column that predicts the target alone."""

    evidence: str  #: the figures, in words
    is_sure: bool  #: whether there are enough rows to tell a leak from a good feature


def find_leaks(train: Part, features: Sequence[Feature]) -> dict[str, Leak]:
    """Return the evidence for each column of the training part that reveals the target, by name."""
    if len(train) < FEWEST_ROWS:
        return {}
    classify = train.table.task == "classification"
    chosen = _sample_classes(pd.factorize(train.target)[0]) if classify else np.arange(len(train))[:: -(-len(train) // MOST_ROWS)]
    target = train.target.iloc[chosen].to_numpy()
    codes = pd.factorize(target)[0]
    leaks: dict[str, Leak] = {}
    for some in (features[start : start + COLUMNS_AT_ONCE] for start in range(0, len(features), COLUMNS_AT_ONCE)):
        frame = pd.concat(train.table.batches([feature.name for feature in some], train.rows[chosen]), ignore_index=True)
        for feature in some:
            inputs = np.nan_to_num(ENCODERS[feature.type](frame[feature.name], feature).reshape(len(frame), -1), nan=-1e30)
            leak = _judge_classes(inputs, codes) if classify else _judge_numbers(inputs, target.astype(float))
            leaks |= {feature.name: leak} if leak else {}
    return leaks


def _sample_classes(codes: Array) -> Array:
    """Return the positions of at most 1,500 events and as many others, of classes with at least two rows."""
    counts = np.bincount(codes)
    is_event = codes != counts.argmax()
    sides = [np.flatnonzero(side & (counts[codes] > 1)) for side in (is_event, ~is_event)]
    return np.sort(np.concatenate([side[:: max(1, -(-len(side) * 2 // MOST_ROWS))] for side in sides]))


def _judge_classes(inputs: Array, codes: Array) -> Leak | None:
    counts = np.bincount(codes)
    if counts.min() < 2 or len(counts) < 2:
        return None
    is_event, right = codes != counts.argmax(), np.zeros(len(codes), bool)
    for learn, look in StratifiedKFold(2, shuffle=True, random_state=0).split(inputs, codes):
        tree = DecisionTreeClassifier(random_state=0).fit(inputs[learn], codes[learn])
        right[look] = tree.predict(inputs[look]) == codes[look]
        here = [right[look][side[look]].mean() for side in (is_event, ~is_event)]
        if np.mean(here) < 2 * SUSPICIOUS - 1:  # the other half cannot make up for it
            return None
    sides = right[is_event], right[~is_event]
    if np.mean([side.mean() for side in sides]) < SUSPICIOUS:
        return None
    (events, found), (others, kept) = ((len(side), side.sum()) for side in sides)
    classes = "class" if len(counts) == 2 else "classes"
    evidence = f"alone it tells {found} of {events} rows of the rarer {classes} and {kept} of {others} others"
    return Leak(evidence, _bound_share(sides[0]) >= SURE_RECALL)


def _judge_numbers(inputs: Array, target: Array) -> Leak | None:
    ranks, column = (pd.Series(values).rank().to_numpy() for values in (target, inputs[:, 0]))
    if not ranks.std():
        return None
    rank_correlation = abs(np.corrcoef(ranks, column)[0, 1]) if column.std() else 0.0
    unexplained = 0.0  # share of the variance
    for learn, look in KFold(2, shuffle=True, random_state=0).split(inputs):
        tree = DecisionTreeRegressor(random_state=0).fit(inputs[learn], target[learn])
        unexplained += ((tree.predict(inputs[look]) - target[look]) ** 2).sum() / (target.var() * len(target))
        if unexplained > 1 - SUSPICIOUS:
            break
    explained = max(1 - unexplained, 0.0)
    if max(explained, rank_correlation) < SUSPICIOUS:
        return None
    sure = _bound_correlation(sqrt(explained), target) ** 2, _bound_correlation(rank_correlation, ranks)
    name, value = ("R²", explained) if explained >= rank_correlation else ("rank correlation", rank_correlation)
    return Leak(f"alone it reaches a {name} of {value:.3f} in {len(target)} rows", max(sure) >= SUSPICIOUS)


def _bound_share(right: Array) -> float:
    """Return the lower end of Wilson's one-sided 95 % interval of a share."""
    n, share, z2 = len(right), right.mean(), CONFIDENCE**2
    return float((share + z2 / (2 * n) - CONFIDENCE * sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n))


def _bound_correlation(found: float, values: Array) -> float:
    """Return the lower end of Fisher's one-sided 95 % interval, for as many rows as carry the variance of `values`."""
    squares = (values - values.mean()) ** 2
    rows = squares.sum() ** 2 / (squares**2).sum()
    return tanh(atanh(min(found, 1 - 1e-12)) - CONFIDENCE / sqrt(rows - 3)) if rows > 3 else 0.0
