from __future__ import annotations

import ast
from pathlib import Path

import pytest

from boostlab import errors
from boostlab.errors import DataError, LabError, StoreError, is_lab_error, suggest

CLASSES = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, LabError)]


@pytest.mark.parametrize("error", CLASSES)
def test_knows_each_of_its_errors_by_name(error: type[LabError]) -> None:
    assert is_lab_error(error.__name__, ["one line"])


def test_an_error_that_a_notebook_raises_is_defined_where_papermill_knows_it() -> None:
    """papermill's process knows an error by its name: it has not imported the packages that the notebook uses."""
    package = Path(errors.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and {getattr(base, "id", "") for base in node.bases} & {item.__name__ for item in CLASSES}
    }
    assert found == {"errors.py", "execution/ending.py", "serving/settings.py"}  # papermill's own process, and the server's


def test_knows_an_error_that_was_derived_later() -> None:
    late = type("LateError", (StoreError,), {})

    assert is_lab_error(late.__name__, ["one line"])


@pytest.mark.parametrize("name", ["ValueError", "Exception", "", "laberror"])
def test_takes_no_other_error_for_its_own(name: str) -> None:
    assert not is_lab_error(name, ["one line"])


def test_takes_no_error_with_a_long_traceback_for_its_own() -> None:
    assert not is_lab_error("DataError", ["Traceback …", "sqlalchemy.exc.DataError: no"])


def test_shows_the_message_without_a_traceback_in_ipython() -> None:
    assert DataError("No rows.")._render_traceback_() == ["DataError: No rows."]


def test_suggests_the_nearest_name() -> None:
    assert suggest("max_dept", ["eta", "max_depth", "max_bin"]) == " Did you mean 'max_depth'?"


def test_suggests_the_first_name_that_an_abbreviation_begins() -> None:
    assert suggest("prod", ["producer of oil", "production", "prof"]) == " Did you mean 'producer of oil'?"
    assert suggest("e", ["eta", "max_depth"]) == ""


def test_suggests_nothing_if_no_name_is_near() -> None:
    assert suggest("colour", ["eta", "max_depth"]) == ""


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\r", "\x07", "\x7f", "\u202e", "\u2066"])
def test_a_message_does_not_steer_a_terminal(sign: str) -> None:
    assert sign not in str(LabError(f"a{sign}b"))


def test_a_message_keeps_its_lines_and_letters() -> None:
    assert str(LabError("é 漢\n\tb")) == "é 漢\n\tb"
