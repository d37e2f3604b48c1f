"""What an explored run lends to its kernel's environment."""

from __future__ import annotations

import os

import pytest

from boostlab.tracking import environment


def test_what_was_lent_goes_back_and_what_the_user_changed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "a")
    monkeypatch.setenv("CHANGED", "b")
    monkeypatch.delenv("ABSENT", raising=False)
    environment.lend({"GIVEN": "1", "CHANGED": "2", "ABSENT": "3"})
    assert [os.environ[name] for name in ("GIVEN", "CHANGED", "ABSENT")] == ["1", "2", "3"]
    os.environ["CHANGED"] = "mine"

    given = environment.given()
    assert (given["GIVEN"], given["CHANGED"], "ABSENT" in given) == ("a", "mine", False)
    environment.restore("ABSENT")
    assert "ABSENT" not in os.environ and os.environ["GIVEN"] == "1"
    environment.restore()
    assert (os.environ["GIVEN"], os.environ["CHANGED"]) == ("a", "mine")
