"""The objectives of a study: named ones, and the one that a first trial recorded."""

from __future__ import annotations

import pytest
from tests.sweep.test_settings import sweep

from boostlab.errors import LabError
from boostlab.sweep.objectives import check_recorded, find_objectives
from boostlab.sweep.trial import Objective

RECORDED = ["rows", "valid_rmse", "best_valid_rmse", "cv_rmse", "cv_rmse_std", "test_rmse"]


def test_finds_the_direction_of_a_metric_by_its_name() -> None:
    found = find_objectives(sweep(metric=["best_valid_rmse", "cv_roc_auc"]))
    assert found == (Objective("best_valid_rmse", "minimize"), Objective("cv_roc_auc", "maximize"))


def test_takes_a_given_direction() -> None:
    found = find_objectives(sweep(metric=["fit_time_s", "best_valid_r2"], direction=["lower", "auto"]))
    assert found == (Objective("fit_time_s", "minimize"), Objective("best_valid_r2", "maximize"))


def test_asks_for_a_direction_that_is_not_known() -> None:
    with pytest.raises(LabError, match=r"-y 'direction: \[lower\]', or higher"):
        find_objectives(sweep(metric=["fit_time_s"]))


@pytest.mark.parametrize(
    ("fixed", "metric"), [({}, "best_valid_rmse"), ({"folds": 5}, "cv_rmse"), ({"folds": 0}, "best_valid_rmse")]
)
def test_finds_the_metric_that_a_trial_recorded(fixed: dict[str, int], metric: str) -> None:
    assert find_objectives(sweep(fixed=fixed), RECORDED) == (Objective(metric, "minimize"),)


def test_never_chooses_a_metric_of_the_test_rows() -> None:
    with pytest.raises(LabError, match="The first trial recorded: rows") as refusal:
        find_objectives(sweep(), ["rows", "test_rmse"])
    assert "test_rmse" not in str(refusal.value)


def test_says_which_metrics_the_trials_record() -> None:
    check_recorded([Objective("cv_rmse", "minimize")], RECORDED)
    with pytest.raises(LabError, match="Did you mean 'best_valid_rmse'"):
        check_recorded([Objective("best_valid_rsme", "minimize")], RECORDED)
