"""Errors have the codes and the JSON of MLflow's own exceptions."""

from __future__ import annotations

import json

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE

from boostlab.serving.errors import MediaTypeError, RequestError, SchemaError


@pytest.mark.parametrize(("code", "number"), [("BAD_REQUEST", BAD_REQUEST), ("INVALID_PARAMETER_VALUE", INVALID_PARAMETER_VALUE)])
def test_has_the_json_of_mlflows_exception(code: str, number: int) -> None:
    message = 'a "quoted"\nmessage'

    assert json.loads(RequestError(message, code=code).to_json()) == json.loads(
        MlflowException(message, error_code=number).serialize_as_json()
    )


def test_statuses_say_whose_fault_it_is() -> None:
    assert (SchemaError("a").status, MediaTypeError("a").status) == (400, 415)
    assert SchemaError("a").body["error_class"] == "SCHEMA_ENFORCEMENT_FAILED"
