"""Errors have the codes and the fields of MLflow's own exceptions, those of RFC 9457, and no rows."""

from __future__ import annotations

import json

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE

from boostlab.models.conversion import ConversionError
from boostlab.serving.errors import MediaTypeError, RequestError, SchemaError, list_names, reject_value


@pytest.mark.parametrize(("code", "number"), [("BAD_REQUEST", BAD_REQUEST), ("INVALID_PARAMETER_VALUE", INVALID_PARAMETER_VALUE)])
def test_has_the_json_of_mlflows_exception(code: str, number: int) -> None:
    message = 'a "quoted"\nmessage'

    theirs = json.loads(MlflowException(message, error_code=number).serialize_as_json())
    ours = json.loads(RequestError(message, code=code, row=3, column="a").to_json("request-1"))
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": message, "instance": "request-1"}

    assert ours == theirs | problem | {"row": 3, "column": "a"}


@pytest.mark.parametrize("text", ["a" * 10**6, "\0" * 10**6, "\ud800" * 10**6, "é" * 700, "🏠" * 400])
def test_has_at_most_two_kilobytes(text: str) -> None:
    error = reject_value(ConversionError(text, 2, "numbers", text))

    assert len(error.to_json("x" * 64)) <= 2000
    assert json.loads(error.to_json())["detail"].startswith("Column ")


def test_names_the_first_of_many_columns() -> None:
    assert list_names(list("abcdefghijkl")) == f"{list('abcdefghij')} and 2 more"


def test_statuses_say_whose_fault_it_is() -> None:
    assert (SchemaError("a").status, MediaTypeError("a").status) == (400, 415)
    assert SchemaError("a").body["error_class"] == "SCHEMA_ENFORCEMENT_FAILED"
