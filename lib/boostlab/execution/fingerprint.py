"""The fingerprint of what a template process has loaded: if it changes, a new process is needed."""

from __future__ import annotations

import hashlib
import os
import re
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import boostlab
from boostlab.execution.jobs import STATUS_VARIABLE
from boostlab.notebook.session import TRIAL_VARIABLE
from boostlab.tracking.environment import OF_THE_KERNEL, OF_THE_RUN

UMASK = re.compile(r"^Umask:\s*([0-7]+)$", re.MULTILINE)
NAMES = (*OF_THE_RUN, *OF_THE_KERNEL, STATUS_VARIABLE, TRIAL_VARIABLE, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
OF_THE_CALLER = (  # no package reads them at import
    *("PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES"),
    *("PYTEST_CURRENT_TEST", "XDG_STATE_HOME", "BOOSTLAB_CACHE"),
    *("TERM", "PAGER", "GIT_PAGER", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"),  # ipykernel sets them
)
OF_ONE_PROCESS = ("_MLFLOW_TELEMETRY_SESSION_ID",)
OF_PACKAGES = {  # what packages set when they are loaded: a process that a kernel starts inherits it
    *("MPLBACKEND=module://matplotlib_inline.backend_inline", "PYDEVD_USE_FRAME_EVAL=NO", "PYDEVD_DISABLE_FILE_VALIDATION=1"),
    *("KMP_DUPLICATE_LIB_OK=True", "KMP_INIT_AT_FORK=FALSE"),
}


def without_names(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables that name a run, a kernel or a place: each kernel has its own."""
    return {name: value for name, value in env.items() if name not in (*NAMES, *OF_THE_CALLER)}


def limit_threads(most: int) -> dict[str, str]:
    """Return variables that limit the threads of libraries; many read them when they are loaded."""
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(most))


def take_fingerprint(env: Mapping[str, str]) -> str:
    """Return a text that differs if a kernel with this environment would be another one than a template's kernels are.

    It covers the environment, the folders of installed packages, boostlab's own files, and what else a process inherits from the
    one that starts it: the user, the cores that it may use, its priority, its limits, and the mode of new files.
    """
    folders = {*site.getsitepackages(), site.getusersitepackages(), *env.get("PYTHONPATH", "").split(os.pathsep)} - {""}
    places = [_describe(place) for place in [*map(Path, sorted(folders)), *sorted(_own_files())]]
    own = {name: value for name, value in without_names(env).items() if name not in OF_ONE_PROCESS}
    variables = sorted(item for item in (f"{name}={value}" for name, value in own.items()) if item not in OF_PACKAGES)
    return hashlib.sha256(repr((sys.executable, variables, places, _describe_process())).encode()).hexdigest()[:12]


def _describe_process() -> tuple[object, ...]:
    """Return what a process of this one inherits, as far as the system tells."""
    try:
        import resource
    except ImportError:  # Windows has neither limits nor forks
        return ()
    limits = [resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    status = Path("/proc/self/status")
    umask = UMASK.search(status.read_text()) if status.exists() else None
    user = os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()
    return limits, cores, umask and umask[1], user, os.getpriority(os.PRIO_PROCESS, 0)


def _own_files() -> Iterator[Path]:
    return (Path(folder) / name for folder, _, names in os.walk(boostlab.__path__[0]) for name in names if name.endswith(".py"))


def _describe(place: Path) -> tuple[str, int, int]:
    """Return the path, the time of the last change in ns, and the size; zeros if it does not exist."""
    try:
        found = place.stat()
    except OSError:
        return str(place), 0, 0
    return str(place), found.st_mtime_ns, found.st_size
