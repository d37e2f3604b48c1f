"""A trial: one execution of a notebook with one point of the search space, as the search, the tables and the figures see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from boostlab.display.numbers import format_number, shorten_float

TrialState = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial of a study. Its MLflow run is a child of the sweep's run, and holds its executed notebook."""

    number: int  #: from 0, each once in a study
    point: Mapping[str, Any]  #: the searched parameters; one that depends on another is there only if its condition holds
    state: TrialState = "running"
    values: tuple[float, ...] = ()  #: of each metric of the study; empty unless the trial is complete
    reports: Mapping[int, float] = field(default_factory=dict)  #: of the first metric during the trial, by step: rounds, or folds
    interval: tuple[float, float] | None = None  #: of the first metric at 95 %, if the run recorded one
    start_ms: int = 0  #: since the epoch
    end_ms: int = 0
    worker: str = ""  #: the host, and the place of the worker on it
    run_id: str = ""  #: empty until the trial's run is made
    run_name: str = ""
    reason: str = ""  #: why it was pruned or failed; also where its point comes from, such as `champion`
    differing: tuple[str, ...] = ()  #: parameters that are not searched and had other values than in the present sweep
    has_other_code: bool = False  #: whether its notebook had other code than in the present sweep

    @property
    def is_comparable(self) -> bool:
        """Whether only its point tells it from the trials of the present sweep."""
        return not self.differing and not self.has_other_code


@dataclass(frozen=True)
class Objective:
    """A metric that a study minimises or maximises."""

    metric: str  #: its name in the runs, such as `best_valid_rmse`
    direction: Literal["minimize", "maximize"]


UNKNOWN = (Objective("metric", "minimize"),)  # stands for the objectives until a first trial tells the metric


def describe_trial(trial: Trial, objectives: Sequence[Objective]) -> str:
    """Return in one line what a trial is: its number, its values of the metrics, and its point.

    Examples
    --------
    >>> trial = Trial(3, {"eta": 0.06873160873, "max_depth": 4}, values=(61.2831,))
    >>> describe_trial(trial, [Objective("best_valid_rmse", "minimize")])
    'trial 3: best_valid_rmse 61.28 · eta 0.06873 · max_depth 4'
    """
    values = [f"{each.metric} {format_number(value)}" for each, value in zip(objectives, trial.values, strict=False)]
    point = [f"{name} {shorten_float(value) if isinstance(value, float) else value}" for name, value in trial.point.items()]
    return f"trial {trial.number:,}: {' · '.join([*values, *point])}"
