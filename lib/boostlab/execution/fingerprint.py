"""The fingerprint of what a template process has loaded: if it changes, a new process is needed."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import boostlab
from boostlab.execution.jobs import STATUS_VARIABLE
from boostlab.notebook.session import TRIAL_VARIABLE
from boostlab.tracking.environment import OF_THE_KERNEL, OF_THE_RUN

NAMES = (*OF_THE_RUN, *OF_THE_KERNEL, STATUS_VARIABLE, TRIAL_VARIABLE, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
OF_THE_CALLER = (  # no package reads them at import
    *("PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES"),
    *("PYTEST_CURRENT_TEST", "XDG_STATE_HOME", "BOOSTLAB_CACHE"),
)


def without_names(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables that name a run, a kernel or a place: each kernel has its own."""
    return {name: value for name, value in env.items() if name not in (*NAMES, *OF_THE_CALLER)}


def take_fingerprint(env: Mapping[str, str]) -> object:
    """Return a value that differs if a kernel with this environment would load other packages, or load them in another way.

    It covers the environment, the folders of installed packages, boostlab's own files, and this process: a process that was
    forked must not use the template of its parent.
    """
    folders = {*site.getsitepackages(), site.getusersitepackages(), *env.get("PYTHONPATH", "").split(os.pathsep)} - {""}
    places = [*map(Path, sorted(folders)), *sorted(_own_files())]
    return os.getpid(), sys.executable, sorted(without_names(env).items()), [_describe(place) for place in places]


def _own_files() -> Iterator[Path]:
    return (Path(folder) / name for folder, _, names in os.walk(boostlab.__path__[0]) for name in names if name.endswith(".py"))


def _describe(place: Path) -> tuple[str, int, int]:
    """Return the path, the time of the last change in ns, and the size; zeros if it does not exist."""
    try:
        found = place.stat()
    except OSError:
        return str(place), 0, 0
    return str(place), found.st_mtime_ns, found.st_size
