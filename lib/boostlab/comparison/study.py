"""The study of a sweep, as a comparison needs it: its metric, the model that its trials have to beat, and its pruned trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boostlab.comparison.search import search_experiments
from boostlab.display.markdown import format_code
from boostlab.errors import LabError, suggest
from boostlab.tracking.facts import PRUNED_TAG, STUDY_TAG, SWEEP_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOST_NAMES = 100  # of studies that a message may suggest
MOST_PRUNED = 1000  # that are counted
VALID, FOLDS = "best_valid_", "cv_"


@dataclass(frozen=True)
class Study:
    """What the newest sweep of a study recorded."""

    name: str
    metrics: tuple[str, ...] = ()  #: that the sweep was told to optimise; empty: it found one itself
    direction: str = "auto"  #: of the first metric
    model: str = ""  #: the registered model whose version in production the trials have to beat
    has_folds: bool = False

    def choose_metric(self, run: Run) -> str:
        """Return the metric that the sweep ranked a trial by; empty if that is its usual validation metric."""
        if self.metrics:
            return self.metrics[0]
        valid = next((name for name in run.data.metrics if name.startswith(VALID)), "")
        folds = f"{FOLDS}{valid.removeprefix(VALID)}"
        return folds if self.has_folds and folds in run.data.metrics else ""


def find_study(client: MlflowClient, name: str) -> Study:
    """Return what the newest sweep of a study recorded.

    Raises
    ------
    LabError
        If the store has no sweep of that name.
    """
    every = search_experiments(client)
    found, _ = every.equal("tags", SWEEP_TAG, name).fetch(1)
    if not found:
        known = {run.data.tags[SWEEP_TAG] for run in every.where(f"tags.`{SWEEP_TAG}` LIKE '%'").fetch(MOST_NAMES)[0]}
        shown = f"It has: {', '.join(sorted(known))}." if known else "It has none: run sweep.ipynb first."
        raise LabError(f"The store has no study {name!r}.{suggest(name, known)} {shown}")
    params = found[0].data.params
    metrics, directions, fixed = (_read(params, each) for each in ("metric", "direction", "fixed"))
    return Study(
        name,
        tuple(metrics or ()),
        directions[0] if directions else "auto",
        params.get("champion") or params.get("register_as", ""),
        bool(fixed.get("folds")) if isinstance(fixed, dict) else False,
    )


def count_pruned(client: MlflowClient, study: str) -> int:
    """Return how many trials of a study were pruned, at most 1,000."""
    search = search_experiments(client).equal("tags", STUDY_TAG, study).where(f"tags.`{PRUNED_TAG}` LIKE '%'")
    return len(search.fetch(MOST_PRUNED)[0])


def describe_empty(study: str, pruned: int) -> str:
    """Return in Markdown that a study has no trial to compare."""
    return f"No trial of the study {format_code(study)} is complete and matches: nothing to compare.{_describe_pruned(pruned)}"


def describe_trials(studies: Mapping[str, int], count: int, pruned: int) -> str:
    """Return in Markdown how many of the runs are trials of which study, and how many were left out; it starts with a space."""
    parts = [f"{format_code(name)} ({trials})" for name, trials in studies.items()]
    others = count - sum(studies.values())
    parts += [f"no study ({others})"] if others else []
    return f" They are trials of {', '.join(parts)}.{_describe_pruned(pruned)}" if studies else ""


def _describe_pruned(pruned: int) -> str:
    if not pruned:
        return ""
    more = "At least " if pruned >= MOST_PRUNED else ""
    are, have = ("trials are", "they have") if pruned > 1 else ("trial is", "it has")
    return f" {more}{pruned:,} pruned {are} left out: ended early, {have} no value that could be ranked."


def _read(params: dict[str, str], name: str) -> Any:
    try:
        return json.loads(params.get(name, "null"))
    except ValueError:  # it was cut, as it was too long to record
        return None
