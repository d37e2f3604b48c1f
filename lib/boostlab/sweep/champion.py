"""The champion of a study: the parameters of the model in production, which the first trial has."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from boostlab.notebook.parameters import Parameter


def read_champion(client: Any, model: str, declared: Mapping[str, Parameter]) -> dict[str, Any] | None:
    """Return the parameters of the version in production, as its run recorded them; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(model, "production")
        params = client.get_run(version.run_id).data.params
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return {name: _to_value(text, declared[name]) for name, text in params.items() if name in declared}


def _to_value(text: str, parameter: Parameter) -> Any:
    """Return the value of a parameter from its text in a run; see :func:`boostlab.notebook.parameters.to_text`."""
    for read in () if parameter.type is str else (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError):
            return read(text)
    return text
