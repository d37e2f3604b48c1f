from __future__ import annotations

from typing import Any

import pytest
from tests.support.settings import make_settings

from boostlab.errors import ParameterError
from boostlab.training.decision_settings import ThresholdRule

CLASSES: dict[str, Any] = {"dataset": "breast_cancer"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("f1", ThresholdRule("f1")),
        ("cost", ThresholdRule("cost")),
        ("precision>=0.9", ThresholdRule("precision", 0.9)),
        ("recall >= 1", ThresholdRule("recall", 1.0)),
        ("0.25", ThresholdRule("number", 0.25)),
        (0.25, ThresholdRule("number", 0.25)),  # as papermill reads -p threshold 0.25
    ],
)
def test_reads_the_rule_of_a_threshold(text: Any, rule: ThresholdRule) -> None:
    assert make_settings(**CLASSES, threshold=text).threshold_rule == rule


def test_reads_a_class_that_papermill_took_for_a_number_or_a_truth() -> None:
    assert [make_settings(**CLASSES, positive_label=label).positive_label for label in (1, True, "yes")] == ["1", "True", "yes"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": "f2"}, "threshold = 'f2': no rule for a threshold. Allowed: empty, a number between 0 and 1, f1, mcc, "),
        ({"threshold": "1"}, "threshold = '1': out of range. Allowed: empty, a number between 0 and 1, "),
        ({"threshold": "nan"}, "threshold = 'nan': out of range."),
        ({"threshold": "precision >= 0"}, "threshold = 'precision >= 0': out of range."),
        ({"threshold": "precision >= 0.9.1"}, "no rule for a threshold."),
        ({"threshold": "recall > 0.9"}, "no rule for a threshold."),
        ({"threshold": ["f1"]}, "threshold takes text, not ['f1']"),
        ({"cost_false_negative": -1.0}, "cost_false_negative = -1.0 is out of range. Allowed: 0 <= cost_false_negative."),
        (
            {"threshold": "cost", "cost_false_positive": 0.0, "cost_false_negative": 0.0},
            "cost_false_positive = 0 and cost_false_negative = 0: no answer would cost anything. State at least one",
        ),
        (
            {"cost_false_negative": 10.0},
            "and cost_false_negative = 10 are for the threshold that costs least: -p threshold cost.",
        ),
        ({"calibrate": "platt"}, "calibrate has no choice 'platt'. It takes: none, sigmoid, isotonic."),
        ({"class_weight": "balanced", "scale_pos_weight": 9.0}, "both weigh the classes. State one of them"),
        (
            {"task": "regression", "calibrate": "sigmoid"},
            "calibrate = 'sigmoid' is for classification, and this is a regression.",
        ),
        (
            {"quantiles": [0.1], "threshold": "f1"},
            "threshold = 'f1' is for classification, and this is a regression. Leave it out.",
        ),
    ],
)
def test_refuses_what_no_classification_decides(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_settings(**CLASSES | given)
    assert message in str(caught.value)
