"""The threshold of two classes: from which probability on the second one is the answer.

A threshold is chosen on rows that the trees did not learn from and the test does not use. It lies in the middle between two
neighbouring probabilities of these rows, so that no row lies on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from boostlab.display.numbers import format_number
from boostlab.errors import TrainingError
from boostlab.evaluation.losses import name_metric
from boostlab.training.decision_settings import DecisionSettings, ThresholdRule

Array = np.ndarray[Any, Any]
TIE = 1e-9  # sums of weights are exact only so far


@dataclass(frozen=True)
class ThresholdCurve:
    """What each threshold would do on some rows, and the chosen one."""

    thresholds: Array  #: ascending, shape (n_thresholds,)
    rates: dict[str, Array]  #: ``precision``, ``recall`` and, where the rule has one, its figure, each of the same shape
    place: int  #: position of the chosen one
    metric: str  #: what the rule judges, such as ``f1``, ``recall_at_precision:0.9`` or ``cost:1-10``
    rule: str  #: as the parameter states it

    @property
    def threshold(self) -> float:
        """The chosen threshold."""
        return float(self.thresholds[self.place])

    @property
    def chosen(self) -> dict[str, float]:
        """The rates at the chosen threshold."""
        return {name: float(values[self.place]) for name, values in self.rates.items()}

    def describe(self, rows: str) -> str:
        """Return the choice and its rates in a sentence; `rows` says on which rows it was made."""
        rates = ", ".join(f"{name} {format_number(value)}" for name, value in self.chosen.items())
        return f"The threshold is {format_number(self.threshold)} ({self.rule}). On {rows} it gives {rates}."


def name_rule_metric(settings: DecisionSettings) -> str:
    """Return the name of the figure that the rule of the threshold judges; empty for a number, and without a rule."""
    rule = settings.threshold_rule
    if rule is None or rule.name == "number":
        return ""
    if rule.name == "cost":
        return name_metric("cost", settings.cost_false_positive, settings.cost_false_negative)
    floors = {"precision": "recall_at_precision", "recall": "precision_at_recall"}
    return name_metric(floors[rule.name], rule.value) if rule.name in floors else rule.name


def choose_threshold(
    true: Array,
    probability: Array,
    weight: Array | None = None,
    *,
    settings: DecisionSettings,
    rows: str = "the validation rows",
) -> ThresholdCurve:
    """Return the threshold that the settings' rule finds best on some rows, with what other thresholds would do there.

    Of thresholds that are equally good, the one with the better other rate is chosen, then the nearest to 0.5.

    Parameters
    ----------
    true : ndarray of shape (n_rows,)
        1 for rows of the second class, else 0.
    probability : ndarray of shape (n_rows,)
        Of the second class, calibrated if the model is.
    weight : ndarray of shape (n_rows,), optional
    rows : str
        Which rows these are, in words.

    Raises
    ------
    TrainingError
        If the rows lack a class, or no threshold meets the floor.
    """
    own = np.ones(len(true)) if weight is None else np.asarray(weight, float)
    levels, hits, alarms = _count(true == 1, probability, own)
    positive, total, rule = hits[0], alarms[0], settings.threshold_rule
    assert rule is not None, "a threshold has a rule"
    if rule.name != "number" and not 0 < positive < total:
        raise TrainingError(
            f"threshold = {settings.threshold!r} is chosen on {rows}, and these have one class alone. "
            "Raise valid_size, or state the threshold as a number."
        )
    last = np.nextafter(1, 2) if levels[-1] >= 1 else (levels[-1] + 1) / 2
    thresholds = np.concatenate([[levels[0] / 2], (levels[1:] + levels[:-1]) / 2, [last]])
    rates = {"precision": _divide(hits, alarms), "recall": _divide(hits, positive)}
    if rule.name == "f1":
        rates["f1"] = 2 * hits / (alarms + positive)
    elif rule.name == "mcc":
        spread = np.sqrt(alarms * (total - alarms) * positive * (total - positive))
        rates["mcc"] = _divide(hits * total - alarms * positive, spread)
    elif rule.name == "cost":
        costs = settings.cost_false_positive * (alarms - hits) + settings.cost_false_negative * (positive - hits)
        rates["cost"] = costs / total
    if rule.name == "number":
        place = int(np.searchsorted(levels, rule.value))
        thresholds[place] = rule.value  # it lies between the same two probabilities
    else:
        place = _choose(thresholds, rates, rule, rows=rows)
    return ThresholdCurve(thresholds, rates, place, name_rule_metric(settings), settings.threshold)


def _count(positive: Array, probability: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return the different probabilities, ascending, and the weight of the right and of all rows from each of them upwards.

    The weights have one value more, 0: that of no row.
    """
    levels, place = np.unique(probability, return_inverse=True)
    sums = [np.bincount(place, weights=own, minlength=len(levels)) for own in (weight * positive, weight)]
    hits, alarms = (np.append(each[::-1].cumsum()[::-1], 0.0) for each in sums)
    return levels, hits, alarms


def _choose(thresholds: Array, rates: dict[str, Array], rule: ThresholdRule, *, rows: str) -> int:
    """Return the position of the best threshold; `rows` names the rows that choose it."""
    allowed = np.arange(len(thresholds))
    if rule.name in ("precision", "recall"):
        allowed = np.flatnonzero(rates[rule.name] >= rule.value - TIE)
        goals = [rates["recall" if rule.name == "precision" else "precision"], rates[rule.name]]
    else:
        goals = [-rates["cost"] if rule.name == "cost" else rates[rule.name]]
    if not len(allowed):
        best = int(rates[rule.name].argmax())
        raise TrainingError(
            f"threshold = '{rule.name} >= {rule.value:g}': no threshold reaches it on {rows}. The best {rule.name} "
            f"there is {format_number(rates[rule.name][best])}, with recall {format_number(rates['recall'][best])}. "
            "State a lower floor."
        )
    for goal in goals:
        found = goal[allowed]
        allowed = allowed[found >= found.max() - TIE * max(1.0, abs(found.max()))]
    return int(allowed[np.abs(thresholds[allowed] - 0.5).argmin()])


def _divide(values: Array, by: Array | float) -> Array:
    return np.divide(values, by, out=np.zeros_like(values), where=np.asarray(by) > 0)
