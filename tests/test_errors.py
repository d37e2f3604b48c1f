from __future__ import annotations

import pytest

from boostlab.errors import DataError, LabError, ParameterError, StoreError, TrainingError, is_lab_error, suggest


@pytest.mark.parametrize("error", [LabError, ParameterError, DataError, TrainingError, StoreError])
def test_knows_each_of_its_errors_by_name(error: type[LabError]) -> None:
    assert is_lab_error(error.__name__, ["one line"])


def test_knows_an_error_that_was_derived_later() -> None:
    late = type("LateError", (StoreError,), {})

    assert is_lab_error(late.__name__, ["one line"])


@pytest.mark.parametrize("name", ["ValueError", "Exception", "", "laberror"])
def test_takes_no_other_error_for_its_own(name: str) -> None:
    assert not is_lab_error(name, ["one line"])


def test_takes_an_error_of_its_name_with_a_traceback_for_somebody_elses() -> None:
    assert not is_lab_error("DataError", ["Traceback …", "sqlalchemy.exc.DataError: no"])


def test_shows_the_message_without_a_traceback_in_ipython() -> None:
    assert DataError("No rows.")._render_traceback_() == ["DataError: No rows."]


def test_suggests_the_nearest_name() -> None:
    assert suggest("max_dept", ["eta", "max_depth", "max_bin"]) == " Did you mean 'max_depth'?"


def test_suggests_nothing_where_no_name_is_near() -> None:
    assert suggest("colour", ["eta", "max_depth"]) == ""
