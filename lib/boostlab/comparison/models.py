"""What runs recorded about their models: learning curves and feature importances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from boostlab.errors import LabError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def read_curves(client: MlflowClient, runs: Sequence[Run]) -> dict[str, dict[str, list[float]]]:
    """Return the validation curves of runs, by metric and run name; a value per boosting round."""
    curves: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for name in [name for name in run.data.metrics if name.startswith("valid_")][:1]:
            history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
            if history:
                curves.setdefault(name, {})[run.info.run_name] = [point.value for point in history]
    return curves


def read_importances(client: MlflowClient, runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return each feature's share of the total gain, by run name; runs whose model cannot be read are left out."""
    from boostlab.models.packaging import fetch_predictor
    from boostlab.training.fit import rank_features

    found: dict[str, dict[str, float]] = {}
    for run in runs:
        try:
            gain = rank_features(fetch_predictor(client, run.info.run_id))
        except LabError:
            continue
        total = sum(gain.values()) or 1.0
        found[run.info.run_name] = {name: value / total for name, value in gain.items()}
    return found
