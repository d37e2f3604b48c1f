"""Runs as tables, ranked and set against one another: what differs between them, and what each gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from boostlab.comparison.selection import Selection, describe_data, find_siblings
from boostlab.errors import LabError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BOOKKEEPING = ("experiment", "run_name", "tracking_uri", "register_as", "nthread")  # parameters that change no model
MOST_METRICS = 4
NOTHING = 'There is no run to compare yet. Train some first, as `make train` and `make train ARGS="-p eta 0.3"`.'


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed at most.

    Attributes
    ----------
    label : str
        The parameters by which it differs from the others.
    values : dict of str to float
        The metric of each run, by run id.
    """

    label: str
    values: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over its runs."""
        return float(np.mean(list(self.values.values())))


def find_differing(runs: Sequence[Run]) -> list[str]:
    """Return the parameters that do not have one value in all runs, in the notebook's order; bookkeeping left out."""
    names = dict.fromkeys(name for run in runs for name in run.data.params)
    return [name for name in names if name not in BOOKKEEPING and len({run.data.params.get(name) for run in runs}) > 1]


def tabulate_runs(selection: Selection) -> pd.DataFrame:
    """Return the runs as a table to look at: rank, parameters that differ, metrics, duration, data."""
    params, metrics = find_differing(selection.runs), _choose_metrics(selection)
    rows = [
        {
            "run": run.info.run_name,
            **{name: _to_value(run.data.params.get(name)) for name in params},
            **{name: _to_metric(name, run.data.metrics.get(name)) for name in metrics},
            "duration (s)": _duration_s(run),
            "data": str(describe_data(run)),
            "run id": run.info.run_id,
        }
        for run in selection.runs
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="rank")).replace({None: np.nan})


def tabulate_others(selection: Selection) -> pd.DataFrame:
    """Return a run on each other data set, as a table to look at."""
    rows = [
        {
            "data": str(data),
            "a run": run.info.run_name,
            selection.metric: run.data.metrics[selection.metric],
            "run id": run.info.run_id,
        }
        for data, run in selection.others.items()
    ]
    return pd.DataFrame(rows, columns=["data", "a run", selection.metric, "run id"]).set_index("data")


def tabulate_parameters(champion: Run, challenger: Run) -> pd.DataFrame:
    """Return the parameters in which two runs differ, as a table to look at."""
    names = find_differing([champion, challenger])
    rows = [[champion.data.params.get(name, "–"), challenger.data.params.get(name, "–")] for name in names]
    return pd.DataFrame(rows, index=pd.Index(names, name="parameter"), columns=["champion", "challenger"])


def group_seeds(client: MlflowClient, selection: Selection, *, most: int = 8) -> list[Configuration]:
    """Return the best configurations, each with all runs of the store that differ from it in their seed at most.

    Runs outside the selection count too: the best of many seeds alone would flatter a configuration.
    """
    varying = [name for name in find_differing(selection.runs) if name != "seed"]
    found: dict[tuple[tuple[str, str], ...], Configuration] = {}
    for run in selection.runs:
        key = _configure(run)
        if key in found or len(found) >= most:
            continue
        siblings = find_siblings(client, run, metric=selection.metric, params=varying[:12])
        values = {run.info.run_id: run.data.metrics[selection.metric]}
        values |= {one.info.run_id: one.data.metrics[selection.metric] for one in siblings if _configure(one) == key}
        found[key] = Configuration(label_run(run, varying), values)
    return sorted(found.values(), key=lambda item: item.mean, reverse=selection.higher_is_better)


def label_run(run: Run, names: Sequence[str]) -> str:
    """Return the values of the given parameters, such as ``eta 0.1 · max_depth 4``."""
    return " · ".join(f"{name} {run.data.params[name]}" for name in names if name in run.data.params) or "all alike"


def list_varying(selection: Selection) -> dict[str, list[Any]]:
    """Return the values of each parameter that differs, a number where it reads as one, a run each."""
    return {name: [_to_value(run.data.params.get(name)) for run in selection.runs] for name in find_differing(selection.runs)}


def list_values(selection: Selection) -> list[float]:
    """Return the metric of each run, the best first."""
    return [run.data.metrics[selection.metric] for run in selection.runs]


def choose_pair(client: MlflowClient, selection: Selection, *, champion: str = "", challenger: str = "") -> tuple[Run, ...]:
    """Return the champion and the challenger; nothing where there are fewer than two runs.

    Parameters
    ----------
    champion : str
        Id or name; empty: the best run of another configuration than the challenger's, else the next best.
    challenger : str
        Id or name; empty: the best run.
    """
    if not selection.runs:
        return ()
    new = selection.find(client, challenger) if challenger else selection.runs[0]
    if champion:
        return selection.find(client, champion), new
    rest = [run for run in selection.runs if run.info.run_id != new.info.run_id]
    old = next((run for run in rest if _configure(run) != _configure(new)), rest[0] if rest else None)
    return (old, new) if old else ()


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
    """Return each feature's share of the gain of all, by run name; runs whose model cannot be read are left out."""
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


def _choose_metrics(selection: Selection) -> list[str]:
    """Return the metric of the comparison, then the other results on the test part, and how long training took."""
    names = dict.fromkeys([selection.metric])
    names |= dict.fromkeys(name for run in selection.runs for name in sorted(run.data.metrics) if name.startswith("test_"))
    extra = [name for name in ("best_iteration", "fit_time_s") if any(name in run.data.metrics for run in selection.runs)]
    return list(dict.fromkeys([*list(names)[: MOST_METRICS + 1], *extra]))


def _configure(run: Run) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in run.data.params.items() if name not in (*BOOKKEEPING, "seed")))


def _duration_s(run: Run) -> float:
    end = run.info.end_time
    return round((end - run.info.start_time) / 1000, 1) if end else np.nan


def _to_metric(name: str, value: float | None) -> float | int | None:
    return int(value) if name == "best_iteration" and value is not None else value


def _to_value(text: str | None) -> Any:
    try:
        return None if text is None else float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        return text
