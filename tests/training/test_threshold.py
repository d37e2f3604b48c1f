from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from tests.support.settings import make_settings

from boostlab.errors import TrainingError
from boostlab.training.threshold import ThresholdCurve, choose_threshold

TRUE = np.array([0, 0, 1, 0, 1, 1])
LIKELY = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
RULES = ["f1", "mcc", "precision >= 0.7", "recall >= 0.7", "cost"]


def choose(rule: str, true: Any = TRUE, likely: Any = LIKELY, weight: Any = None, **costs: float) -> ThresholdCurve:
    settings = make_settings(dataset="breast_cancer", threshold=rule, **costs)
    return choose_threshold(np.array(true), np.array(likely), weight, settings=settings)


def draw_rows(rows: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true classes, probabilities with many ties, and weights, of which some are 0."""
    draw = np.random.default_rng(1)
    likely = np.round(draw.random(rows), 2)
    return (draw.random(rows) < likely).astype(int), likely, draw.integers(0, 4, rows).astype(float)


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        ("f1", 0.25),  # of all thresholds: 6/7 there, 4/5 at 0.65
        ("precision >= 0.75", 0.25),  # all positives; the highest recall
        ("precision >= 0.8", 0.65),
        ("recall >= 0.6", 0.65),  # the highest precision
        ("recall >= 1", 0.25),
        ("0.3", 0.3),
        ("0.95", 0.95),
    ],
)
def test_chooses_the_middle_between_two_probabilities(rule: str, threshold: float) -> None:
    assert choose(rule).threshold == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("costs", "threshold"), [((1.0, 10.0), 0.25), ((10.0, 1.0), 0.65), ((1.0, 0.0), 0.65), ((0.0, 1.0), 0.25)]
)
def test_chooses_the_threshold_that_costs_least(costs: tuple[float, float], threshold: float) -> None:
    found = choose("cost", cost_false_positive=costs[0], cost_false_negative=costs[1])

    assert found.threshold == pytest.approx(threshold)
    assert found.metric == f"cost:{costs[0]:g}-{costs[1]:g}"
    predicted = found.threshold <= LIKELY
    expected = costs[0] * (predicted & (TRUE == 0)).mean() + costs[1] * (~predicted & (TRUE == 1)).mean()
    assert found.chosen["cost"] == pytest.approx(expected)
    every = [costs[0] * ((t <= LIKELY) & (TRUE == 0)).mean() + costs[1] * ((t > LIKELY) & (TRUE == 1)).mean() for t in LIKELY]
    assert found.chosen["cost"] <= min(every) + 1e-12


def test_may_choose_that_no_row_or_each_row_is_positive() -> None:
    assert (choose("cost", likely=1 - LIKELY, cost_false_positive=100.0).threshold > 1 - LIKELY).all()
    assert (choose("cost", likely=1 - LIKELY, cost_false_negative=100.0).threshold <= 1 - LIKELY).all()
    assert choose("cost", [0, 1, 0], [1.0, 0.0, 1.0], cost_false_positive=100.0).threshold > 1.0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_rates_are_those_of_scikit_learn_and_no_other_threshold_is_better(rule: str, weighted: bool) -> None:
    true, likely, weight = draw_rows()
    own = weight if weighted else None
    found = choose(rule, true, likely, own)

    def rate(name: str, threshold: float) -> float:
        scores = {
            "precision": metrics.precision_score,
            "recall": metrics.recall_score,
            "f1": metrics.f1_score,
            "mcc": metrics.matthews_corrcoef,
            "cost": metrics.zero_one_loss,
        }
        more = {"zero_division": 0} if name in ("precision", "recall", "f1") else {}
        return float(scores[name](true, likely >= threshold, sample_weight=own, **more))

    assert found.chosen == pytest.approx({name: rate(name, found.threshold) for name in found.rates})
    name, _, floor = rule.partition(" >= ")
    goal = {"precision": "recall", "recall": "precision"}.get(name, name)
    allowed = [t for t in np.linspace(0.005, 0.995, 100) if not floor or rate(name, t) >= float(floor)]
    others = [rate(goal, threshold) for threshold in allowed]
    assert found.chosen[goal] == pytest.approx(min(others) if goal == "cost" else max(others))


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    true, likely, weight = draw_rows()
    twice = np.repeat(np.arange(len(true)), weight.astype(int))

    for rule in RULES:
        assert choose(rule, true, likely, weight).chosen == pytest.approx(choose(rule, true[twice], likely[twice]).chosen)


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_chosen() -> None:
    assert choose("f1", [0, 0, 1, 1], [0.1, 0.2, 0.9, 0.95]).threshold == pytest.approx(0.55)
    assert choose("cost", [0, 1, 0, 1], [0.1, 0.2, 0.7, 0.9]).threshold == pytest.approx(0.8)  # one error, as at 0.15


def test_says_which_precision_can_be_reached() -> None:
    with pytest.raises(TrainingError) as caught:
        choose("precision >= 0.9", [0, 1, 0, 1], [0.1, 0.5, 0.9, 0.9])
    assert str(caught.value) == (
        "threshold = 'precision >= 0.9': no threshold reaches it on the validation rows. The best precision there is 0.6667, "
        "with recall 1. State a lower floor."
    )


def test_says_on_which_rows_a_floor_is_not_reached() -> None:
    settings = make_settings(threshold="precision >= 0.9")
    with pytest.raises(TrainingError, match="no threshold reaches it on the rows of the cross-validation"):
        choose_threshold(np.array([1, 0]), np.array([0.1, 0.9]), settings=settings, rows="the rows of the cross-validation")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("true", [[0, 0], [1, 1]])
def test_refuses_rows_of_one_class(rule: str, true: list[int]) -> None:
    with pytest.raises(TrainingError, match="and these have one class alone"):
        choose(rule, true, [0.2, 0.8])


def test_a_stated_number_needs_no_positives() -> None:
    assert choose("0.4", [0, 0], [0.2, 0.8]).chosen == {"precision": 0.0, "recall": 0.0}


def test_tells_the_choice_in_words() -> None:
    assert choose("recall >= 0.6").describe("the validation rows") == (
        "The threshold is 0.65 (recall >= 0.6). On the validation rows it gives precision 1, recall 0.6667."
    )
