from __future__ import annotations

from typing import Any

import pytest
from tests.support.registry import copy_version

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.request import check_state, request_transition
from boostlab.registry.transition import apply_transition
from boostlab.registry.view import ModelView, view_model


@pytest.fixture(scope="module")
def view(local_client: Any) -> ModelView:
    """Return a model with version 1 in test and version 2 in no stage."""
    for _ in range(2):
        copy_version(local_client, "requested")
    request = request_transition(view_model(local_client, "requested"), "promote", version=1, stage="test", reason="new")
    return apply_transition(local_client, request, who="ana")[1]


@pytest.mark.parametrize(
    ("action", "values", "message"),
    [
        ("promote", {"version": 9, "stage": "test"}, r"has no version 9\. It has: 2, 1\."),
        ("promote", {"stage": "test"}, r"version = 0 is no version\. Choose a version of .*: 2, 1\."),
        ("promote", {"version": 1, "stage": "test"}, "Version 1 of .* is in test already"),
        ("promote", {"version": 1, "stage": "staging", "override": True}, "override = True needs a reason"),
        ("rollback", {}, "nothing to roll back to: no version was in production before"),
        ("rollback", {"stage": "test"}, "nothing to roll back to: no other version was in test before"),
    ],
)
def test_refuses_an_impossible_transition(view: ModelView, action: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=message):
        request_transition(view, action, **values)


def test_a_request_expects_the_state_that_it_was_made_for(view: ModelView) -> None:
    request = request_transition(view, "promote", version=2, stage="test", reason="  better ")
    assert (request.from_stage, request.expected_state, request.reason) == ("none", "2:none test:1", "better")
    assert request.describe() == f"version 2 of {view.name} from none to test"
    assert request_transition(view, "archive", version=1).expected_state == "1:test"


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("1:staging", r"Version 1 of .* was in staging and is now in test \(ana, \d+ seconds? ago: 'new'\)\. Read the history"),
        ("2:test", r"Version 2 of .* was in test and is now in none\. Read the history, then decide again\."),
        ("1:test test:2", r"Stage test of .* had version 2 and now has version 1 \(ana"),
        ("1:test production:2", r"Stage production of .* had version 2 and now has no version\."),
    ],
)
def test_refuses_a_changed_state_and_names_the_change(view: ModelView, expected: str, message: str) -> None:
    check_state(view, "1:test test:1 production:0")
    with pytest.raises(OutdatedError, match=message):
        check_state(view, expected)
