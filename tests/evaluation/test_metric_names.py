from __future__ import annotations

import pytest

from boostlab.errors import LabError
from boostlab.evaluation.metric_names import is_higher_better


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("test_rmse", False),
        ("r2", True),
        ("valid_error:0.7", False),
        ("test_roc_auc", True),
        ("baseline_log_loss", False),
        ("test_pinball:0.1-0.9", False),
        ("valid_tweedie_deviance:1.5", False),
        ("valid_logloss", False),
        ("test_brier", False),
        ("test_mcc", True),
        ("baseline_average_precision", True),
        ("test_recall_at_precision:0.9", True),
        ("test_cost:1-10", False),
    ],
)
def test_each_metric_has_a_direction(metric: str, higher: bool) -> None:
    assert is_higher_better(metric) == higher


def test_says_which_metrics_have_a_known_direction() -> None:
    with pytest.raises(LabError, match="'test_acuracy' is better is not known"):
        is_higher_better("test_acuracy")
