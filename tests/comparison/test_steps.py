from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, record_run, scores

from boostlab.comparison.steps import Comparison
from boostlab.errors import LabError


def test_registers_nothing_without_a_name(client: Any) -> None:
    assert Comparison(client, compare_settings()).register_best() is None


def test_refuses_to_register_a_missing_model(client: Any) -> None:
    with pytest.raises(LabError, match="there is no run whose model could be registered"):
        Comparison(client, compare_settings(register_as="sugar")).register_best()
    record_run(client, "a", metrics=scores(2))
    with pytest.raises(LabError, match="logged no model"):
        Comparison(client, compare_settings(register_as="sugar")).register_best()


def test_lists_the_metrics_of_the_comparisons_run(client: Any) -> None:
    empty = Comparison(client, compare_settings())
    assert empty.list_metrics(empty.compare(())) == {"runs_compared": 0.0}
    record_run(client, "a", metrics=scores(2))
    comparison = Comparison(client, compare_settings())
    assert comparison.list_metrics(comparison.compare(())) == {"runs_compared": 1.0, "best_test_rmse": 2.0}
