"""What a sweep needs: the process that makes the kernel of a headless execution loads it while its run is being made."""

import mlflow
from mlflow.store.tracking import sqlalchemy_store

from boostlab.execution import workshop
from boostlab.sweep import results

__all__ = ["mlflow", "results", "sqlalchemy_store", "workshop"]
