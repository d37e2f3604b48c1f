"""The variables that an interactive run sets in its kernel's environment."""

from __future__ import annotations

import os

import pytest

from boostlab.tracking import environment


def test_restores_variables_except_those_that_the_user_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "a")
    monkeypatch.setenv("CHANGED", "b")
    monkeypatch.delenv("ABSENT", raising=False)
    environment.set_variables({"GIVEN": "1", "CHANGED": "2", "ABSENT": "3"})
    assert [os.environ[name] for name in ("GIVEN", "CHANGED", "ABSENT")] == ["1", "2", "3"]
    os.environ["CHANGED"] = "mine"

    given = environment.original_environment()
    assert (given["GIVEN"], given["CHANGED"], "ABSENT" in given) == ("a", "mine", False)
    environment.restore("ABSENT")
    assert "ABSENT" not in os.environ and os.environ["GIVEN"] == "1"
    environment.restore()
    assert (os.environ["GIVEN"], os.environ["CHANGED"]) == ("a", "mine")
