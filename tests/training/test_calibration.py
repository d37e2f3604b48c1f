from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, _SigmoidCalibration
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from boostlab.errors import TrainingError
from boostlab.models.answers import calibrate, to_log_odds
from boostlab.models.contract import Label
from boostlab.training.calibration import Method, fit_calibration

LABELS: tuple[Label, ...] = tuple("abcdefg")


class Made(ClassifierMixin, BaseEstimator):
    """A fitted classifier for scikit-learn: a row is the probabilities that it answers, with or without log-odds."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, _rows: np.ndarray, _true: np.ndarray) -> Made:
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows.argmax(axis=1))

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows


class MadeWithOdds(Made):
    """Has a decision function, which scikit-learn prefers, as that of its own boosted trees."""

    def decision_function(self, rows: np.ndarray) -> np.ndarray:
        return to_log_odds(rows[:, 1] if rows.shape[1] == 2 else rows)


def draw_rows(classes: int, rows: int = 400) -> tuple[Any, Any, Any]:
    """Return true classes, overconfident probabilities in float32's precision, and weights."""
    draw = np.random.default_rng(classes)
    honest = draw.dirichlet(np.full(classes, 0.7), rows)
    true = np.array([draw.choice(classes, p=row) for row in honest])
    sharp = honest**2 + 1e-3
    raw = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32).astype(float)
    return true, np.column_stack([1 - raw[:, 1], raw[:, 1]]) if classes == 2 else raw, draw.gamma(2, size=rows)


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator does not appear to accept sample_weight")
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("method", "made"), [("isotonic", Made), ("sigmoid", MadeWithOdds)])
def test_calibrates_as_scikit_learn_does(method: Method, made: type[Made], classes: int, weighted: bool) -> None:
    true, raw, weight = draw_rows(classes)
    own = weight if weighted else None
    found = fit_calibration(true, raw, own, method=method, labels=LABELS[:classes])
    theirs = CalibratedClassifierCV(FrozenEstimator(made(classes)), method=method).fit(raw, true, own)

    assert calibrate(raw, found) == pytest.approx(theirs.predict_proba(raw), abs=1e-4)


def test_the_numbers_of_a_sigmoid_are_those_of_platt() -> None:
    true, raw, weight = draw_rows(2)
    ((slope, intercept),) = fit_calibration(true, raw, weight, method="sigmoid", labels=LABELS[:2]).maps
    theirs = _SigmoidCalibration().fit(to_log_odds(raw[:, 1]), true, weight)

    assert (slope[0], intercept[0]) == pytest.approx((-theirs.a_, -theirs.b_), rel=1e-4)
    assert 0.3 < slope[0] < 0.8  # the probabilities are overconfident


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_improves_overconfident_probabilities_of_other_rows(method: Method) -> None:
    true, raw, _ = draw_rows(2, 4000)
    found = fit_calibration(true[:2000], raw[:2000], method=method, labels=LABELS[:2])
    before, after = (np.mean((likely[2000:, 1] - true[2000:]) ** 2) for likely in (raw, calibrate(raw, found)))

    assert after < before - 0.005


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    true, raw, _ = draw_rows(3)
    weight = np.arange(len(true)) % 3 + 0.0
    twice = np.repeat(np.arange(len(true)), weight.astype(int))
    for method in ("sigmoid", "isotonic"):
        once = fit_calibration(true, raw, weight, method=method, labels=LABELS[:3])
        again = fit_calibration(true[twice], raw[twice], method=method, labels=LABELS[:3])
        assert calibrate(raw, once) == pytest.approx(calibrate(raw, again), abs=1e-4)


def test_an_isotonic_map_keeps_the_order_and_goes_through_its_points() -> None:
    true, raw, _ = draw_rows(2)
    found = fit_calibration(true, raw, method="isotonic", labels=LABELS[:2])
    (points, values), likely = found.maps[0], np.linspace(0, 1, 999)
    calibrated = calibrate(np.column_stack([1 - likely, likely]), found)[:, 1]

    assert (np.diff(calibrated) >= 0).all() and calibrated.min() >= 0 and calibrated.max() <= 1
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw[:, 1], true)
    assert np.interp(likely, points, values) == pytest.approx(theirs.predict(likely))


@pytest.mark.parametrize(
    ("method", "rare", "message"),
    [
        (
            "sigmoid",
            4,
            "calibrate = 'sigmoid' needs at least 5 validation rows of each class, and 'b' has 4. Raise valid_size, or",
        ),
        ("isotonic", 0, "at least 20 validation rows of each class, and 'b' has 0. Raise valid_size, or choose sigmoid, which"),
    ],
)
def test_refuses_a_class_with_too_few_rows(method: Method, rare: int, message: str) -> None:
    true = np.arange(100) < rare
    with pytest.raises(TrainingError) as caught:
        fit_calibration(true.astype(int), np.full((100, 2), 0.5), method=method, labels=LABELS[:2])
    assert message in str(caught.value)
