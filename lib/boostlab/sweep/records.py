"""The record of a study: the runs of its trials in the tracking store, from which a later sweep goes on."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.redaction import MASK
from boostlab.sweep.trial import Objective, Trial
from boostlab.tracking.facts import PRUNED_TAG, REPORTS_TAG, STUDY_TAG, SWEEP_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NUMBER_TAG, POINT_TAG, WORKER_TAG = "boostlab.trial", "boostlab.point", "boostlab.worker"
CODE_TAG = "boostlab.trial_code"  # a digest of the code of the trial's notebook
SOURCE_TAG = "boostlab.point_source"  # where a point comes from, if the sampler did not suggest it
PARENT_TAG = "mlflow.parentRunId"
COUNTED = ("FINISHED", "FAILED")  # statuses of a run whose trial counts
PAGE = 1000  # runs of one request
COMPARED = 1000  # characters of a parameter: a store cuts long ones
PATIENCE_S = 60.0  # for the couriers of runs whose owners were killed
POLL_S = 0.2


def describe_trial(study: str, parent: str, trial: Trial, *, code: str) -> dict[str, str]:
    """Return the tags that file a run as a trial of a study; `code` is the digest of its notebook's code."""
    source = {SOURCE_TAG: trial.reason} if trial.reason else {}
    tags = {STUDY_TAG: study, PARENT_TAG: parent, NUMBER_TAG: str(trial.number), WORKER_TAG: trial.worker, CODE_TAG: code}
    return tags | {POINT_TAG: json.dumps(dict(trial.point))} | source


def fetch_runs(client: MlflowClient, study: str) -> list[Run]:
    """Return the runs of a study's trials, the oldest first."""
    return sorted(_search(client, f"tags.`{STUDY_TAG}` = {_quote(study)}"), key=lambda run: run.info.start_time)


def find_attempts(client: MlflowClient, tags: Mapping[str, str]) -> list[Run]:
    """Return the runs that were made for the trial of these tags in its sweep, once none of them is open any more.

    A run whose machine is gone stays open: after a while it is not waited for.
    """
    names = (STUDY_TAG, PARENT_TAG, NUMBER_TAG)
    condition = " AND ".join(f"tags.`{name}` = {_quote(tags[name])}" for name in names)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        runs = _search(client, condition)
        if all(run.info.status != "RUNNING" for run in runs) or time.monotonic() > deadline:
            return runs
        time.sleep(POLL_S)


def read_trials(
    runs: Sequence[Run], objectives: Sequence[Objective], *, given: Mapping[str, str] | None = None, code: str = ""
) -> list[Trial]:
    """Return the finished trials among the runs of a study, each number once; interrupted ones are left out.

    A run that was killed or is not over is no finished trial. If a trial has several finished runs, the first one counts.

    Parameters
    ----------
    given : mapping of str to str, optional
        The values of parameters in the present sweep, as a run records them: trials that had others are marked.
    code : str
        The digest of the notebook's present code: trials of other code are marked. Empty: it does not count.
    """
    trials: dict[int, Trial] = {}
    for run in runs:
        if run.info.status in COUNTED:
            trial = read_trial(run, objectives)
            has_other_code = bool(code) and run.data.tags.get(CODE_TAG, code) != code
            trial = replace(trial, differing=_find_differing(run, trial, given or {}), has_other_code=has_other_code)
            trials.setdefault(trial.number, trial)
    return [trials[number] for number in sorted(trials)]


def _find_differing(run: Run, trial: Trial, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of given values that the run did not have; what it has masked cannot be compared."""
    had = {name: text for name, text in run.data.params.items() if MASK not in text}
    return tuple(
        name for name, text in given.items() if name not in trial.point and had.get(name, text)[:COMPARED] != text[:COMPARED]
    )


def find_interrupted(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the points of the trials that have begun and not finished, by number: they are tried again."""
    finished = {run.data.tags[POINT_TAG] for run in runs if run.info.status in COUNTED}
    begun = sorted((int(run.data.tags[NUMBER_TAG]), run.data.tags[POINT_TAG]) for run in runs)
    return [json.loads(point) for point in dict.fromkeys(point for _, point in begun) if point not in finished]


def read_trial(run: Run, objectives: Sequence[Objective]) -> Trial:
    """Return the trial that a run is."""
    facts, tags = run.info, run.data.tags
    outcome = judge(facts.status, run.data.metrics, tags, objectives)
    return Trial(
        int(tags[NUMBER_TAG]),
        json.loads(tags[POINT_TAG]),
        reports=read_reports(tags),
        start_ms=int(facts.start_time),
        end_ms=int(facts.end_time or 0),
        worker=tags.get(WORKER_TAG, ""),
        run_id=facts.run_id,
        run_name=facts.run_name or "",
        **outcome,
    )


def judge(
    status: str, metrics: Mapping[str, float], tags: Mapping[str, str], objectives: Sequence[Objective], *, reason: str = ""
) -> dict[str, Any]:
    """Return state, values, interval and reason of a trial, from the end of its run."""
    reason = reason or tags.get("boostlab.error.message") or tags.get("boostlab.reason", "")
    if status == "FINISHED" and PRUNED_TAG in tags:
        return {"state": "pruned", "reason": reason}
    missing = [objective.metric for objective in objectives if objective.metric not in metrics]
    if status != "FINISHED" or missing:
        lack = f"The run recorded no metric {', '.join(missing)}." if missing else f"The run ended {status}."
        return {"state": "failed", "reason": reason or lack}
    ends = [metrics.get(f"{objectives[0].metric}_{end}") for end in ("low", "high")]
    return {
        "state": "complete",
        "values": tuple(metrics[objective.metric] for objective in objectives),
        "interval": None if None in ends else tuple(ends),
        "reason": tags.get(SOURCE_TAG, ""),
    }


def read_reports(tags: Mapping[str, str]) -> dict[int, float]:
    """Return what a trial has reported, by step; of many reports a run has every second one, or fewer."""
    return {int(step): float(value) for step, value in json.loads(tags.get(REPORTS_TAG, "{}")).items()}


def wait_for_others(client: MlflowClient, study: str, *, own: str) -> None:
    """Wait until no run of an earlier sweep of the study is open: those of killed processes are being ended.

    The store must show the sweep's own run, so that of two sweeps that begin at a time at least one sees the other.

    Raises
    ------
    LabError
        If another sweep of the study is running.
    """
    deadline = time.monotonic() + PATIENCE_S
    condition = f"attributes.status = 'RUNNING' AND tags.`{{}}` = {_quote(study)}"
    while True:
        found = _search(client, condition.format(SWEEP_TAG))
        sweeps = [run for run in found if run.info.run_id != own]
        alive = next((run for run in sweeps if not _is_dead(run)), None)
        if alive is not None:
            raise _searched_already(study, alive)
        if found and not sweeps and not _search(client, condition.format(STUDY_TAG)):
            return
        if time.monotonic() > deadline:  # their machine is gone: nobody ends these runs, and nobody goes on with them
            return
        time.sleep(POLL_S)


def _is_dead(run: Run) -> bool:
    """Tell whether a run's process is known to be gone; another host's is not known."""
    tags = run.data.tags
    if tags.get("boostlab.host") != socket.gethostname():
        return False
    try:
        os.kill(int(tags.get("boostlab.pid", 0)) or os.getpid(), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False


def _searched_already(study: str, run: Run) -> LabError:
    tags = run.data.tags
    where = f"process {tags.get('boostlab.pid', '?')} on {tags.get('boostlab.host', 'an unknown host')}"
    return LabError(
        f"The study {study} is being searched by the run {run.info.run_name} ({where}). Wait for it, stop it, or name another "
        f"study: -p study NAME. If that machine is gone, end its run first: mlflow runs delete --run-id {run.info.run_id}"
    )


def _search(client: MlflowClient, condition: str) -> list[Run]:
    experiments = [each.experiment_id for each in client.search_experiments()]
    found: list[Run] = []
    token = None
    while experiments:
        page = client.search_runs(experiments, condition, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    return found


def _quote(text: str) -> str:
    if "'" in text and '"' in text:
        raise LabError(f"The study {text!r} has both kinds of quotes in its name, which MLflow cannot search for. Name another.")
    return f'"{text}"' if "'" in text else f"'{text}'"
