"""The environment of a run: the variables that name it for boostlab and for plain MLflow calls in its notebook.

The kernel of a headless execution gets them at its start. An interactive run sets them in its own kernel, and its end restores
the values from before. Processes that are not part of the run (its courier, executions that the form starts) must not have them.
"""

from __future__ import annotations

import os

from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.store import Store

OF_THE_RUN = (JOURNAL_VARIABLE, "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
OF_THE_KERNEL = ("JPY_PARENT_PID", "JPY_SESSION_NAME")
_set: dict[str, tuple[str, str | None]] = {}  # by name: the value that was set, and the value before


def describe_run(facts: RunFacts, store: Store) -> dict[str, str]:
    """Return the variables that name a run for plain MLflow calls."""
    return {"MLFLOW_RUN_ID": facts.run_id, "MLFLOW_EXPERIMENT_ID": facts.experiment_id, "MLFLOW_TRACKING_URI": store.uri}


def begin(facts: RunFacts, store: Store) -> None:
    """Set the variables of an interactive run in this process; :func:`restore` must run before the next call."""
    for name, value in describe_run(facts, store).items():
        _set[name] = value, os.environ.get(name)
        os.environ[name] = value


def outside() -> dict[str, str]:
    """Return the environment for a process that is not part of a run: a variable that the user has changed stays changed."""
    env = dict(os.environ)
    for name, (value, before) in _set.items():
        if env.get(name) == value:
            del env[name]
            env.update({} if before is None else {name: before})
    return {name: value for name, value in env.items() if name not in (*OF_THE_RUN, *OF_THE_KERNEL)}


def restore(*names: str) -> None:
    """Restore the variables of these names, or all."""
    for name in names or tuple(_set):
        if name in _set:
            value, before = _set.pop(name)
            if os.environ.get(name) == value:
                os.environ.pop(name) if before is None else os.environ.update({name: before})
