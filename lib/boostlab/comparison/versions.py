"""The runs that made versions of registered models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from boostlab.errors import LabError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

VERSION = "models:/"  # before the name of a registered model
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's codes for what is not there


def find_version_run(client: MlflowClient, address: str) -> Run:
    """Return the run of a version of a registered model, by ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises
    ------
    LabError
        If the store has no such version, or its run was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = re.fullmatch(rf"{VERSION}([^/@]+)(?:@([\w-]+)|/(\d+))", address)
    if not found:
        raise LabError(f"{address!r} names no version. It takes models:/NAME@production, another stage, or models:/NAME/3.")
    name, alias, number = found.groups()
    try:
        version = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        return client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        raise LabError(f"The store has no version {address}, or not its run. Register one, or name a run.") from None
