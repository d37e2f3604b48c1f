"""Diagnosis: what a training and the other notebooks need on this machine, what of it works, and what to do where it does not."""

from __future__ import annotations

import email.utils
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from boostlab.errors import StoreError
from boostlab.faults import describe_fault
from boostlab.tracking.journal import journals_folder, waiting_journals
from boostlab.tracking.probe import ANSWER_TIMEOUT_S, check_reachable
from boostlab.tracking.store import Store, open_store
from boostlab.tracking.ui import PROXY_NAME, PROXY_VARIABLE

if TYPE_CHECKING:
    from requests import Response

State = Literal["works", "warning", "fails"]
LITTLE_BYTES, NONE_BYTES = 1 << 30, 100 << 20  # of free space
MAX_CLOCK_S = 60
EXTENSIONS = ("ipylab", "@jupyter-widgets/jupyterlab-manager", "@jupyterhub/jupyter-server-proxy")
KERNEL_TIMEOUT_S = 120
DOCKER_TIMEOUT_S = 10


@dataclass(frozen=True)
class Check:
    """What one part was found to be."""

    part: str
    state: State
    found: str
    advice: str = ""
    is_needed: bool = False  #: whether a plain training needs it


class _FaultError(Exception):
    """A part does not work: what was found, and what to do."""

    def __init__(self, found: str, advice: str, state: State = "fails") -> None:
        super().__init__(found)
        self.advice, self.state = advice, state


def diagnose(store: Store) -> Iterator[Check]:
    """Yield a check of each part, for runs that go to a store; nothing is raised, and no store is made."""
    parts: list[tuple[str, Callable[[], str], bool]] = [
        ("Python", _check_python, True),
        ("papermill engine", _check_engine, True),
        ("kernel", _check_kernel, True),
        ("store", lambda: _check_store(store), True),
        ("packages of the store", lambda: _check_packages(store), True),
        ("disk of the state folder", lambda: _check_disk(journals_folder()), True),
        ("disk of the store", lambda: _check_store_disk(store), True),
        ("clock", lambda: _check_clock(store), False),
        ("waiting runs", _check_journals, False),
        ("JupyterLab extensions", _check_extensions, False),
        ("MLflow's UI in JupyterLab", lambda: _check_proxy(store), False),
        ("Docker", _check_docker, False),
    ]
    for part, check, is_needed in parts:
        try:
            yield Check(part, "works", check(), is_needed=is_needed)
        except _FaultError as fault:
            yield Check(part, fault.state, str(fault), fault.advice, is_needed)
        except Exception as error:  # whatever it is: a diagnosis shows it, and goes on
            yield Check(part, "fails", f"{type(error).__name__}: {describe_fault(error, store.uri)}", is_needed=is_needed)


def _check_python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise _FaultError(found, "Install Python 3.11, 3.12 or 3.13, then run: make .venv/.ready")
    missing = [name for name in ("mlflow", "xgboost", "sklearn", "papermill", "ipykernel") if find_spec(name) is None]
    if missing:
        raise _FaultError(f"{found} without {', '.join(missing)}", "Activate the lab's environment, or install boostlab again.")
    return f"{found} in {sys.prefix}, boostlab {version('boostlab')}, MLflow {version('mlflow')}, XGBoost {version('xgboost')}"


def _check_engine() -> str:
    found = [each.value for each in entry_points(group="papermill.engine") if each.name == "boostlab"]
    if not found:
        raise _FaultError("papermill does not know it", "Install boostlab into this environment: pip install boostlab")
    return f"boostlab, papermill {version('papermill')}"


def _check_kernel() -> str:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from jupyter_client.manager import start_new_kernel

    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        raise _FaultError("there is no kernel named python3", "Run: python -m ipykernel install --sys-prefix") from None
    manager, client = start_new_kernel(startup_timeout=KERNEL_TIMEOUT_S, kernel_name="python3", stderr=subprocess.DEVNULL)
    try:
        answer = client.execute_interactive("import sys", user_expressions={"prefix": "sys.prefix"}, timeout=KERNEL_TIMEOUT_S)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    prefix = answer["content"]["user_expressions"]["prefix"]["data"]["text/plain"].strip("'")
    if Path(prefix) != Path(sys.prefix):
        raise _FaultError(
            f"{program} runs in {prefix}, not in {sys.prefix}", "Run: python -m ipykernel install --sys-prefix", "warning"
        )
    return f"python3 starts, in {prefix}"


def _check_store(store: Store) -> str:
    try:
        check_reachable(store, fresh=True)
        if store.scheme in ("sqlite", "file") and not store.path.exists():
            return f"{store.shown} does not exist yet; the first run makes it"
        opened = open_store(store)
    except StoreError as error:
        raise _FaultError(str(error), "Correct MLFLOW_TRACKING_URI, or start that server.") from None
    if store.scheme not in ("http", "https"):
        return f"{opened.shown}, MLflow {version('mlflow')}"
    served = _ask_server(store, "/version").text.strip()
    if served.split(".")[0] != version("mlflow").split(".")[0]:
        raise _FaultError(
            f"{store.shown} runs MLflow {served}, here is {version('mlflow')}", "Use one major version on both sides.", "warning"
        )
    return f"{store.shown}, MLflow {served}"


def _ask_server(store: Store, path: str) -> Response:
    """Return an MLflow server's answer, with the account and the certificates that MLflow's client uses."""
    from mlflow.tracking._tracking_service.utils import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer: Response = http_request(get_default_host_creds(store.uri), path, "GET", timeout=ANSWER_TIMEOUT_S, max_retries=0)
    return answer


def _check_packages(store: Store) -> str:
    names = []
    if store.scheme not in ("http", "https", "sqlite", "file"):
        import sqlalchemy

        sqlalchemy.make_url(store.uri).get_dialect().import_dbapi()
        names.append(f"driver of {store.scheme}")
    if store.scheme not in ("sqlite", "file") or store.path.exists():
        places = [each.artifact_location for each in open_store(store).client.search_experiments()]
        if any(place.startswith("s3:") for place in places):
            if find_spec("boto3") is None:
                raise _FaultError("artifacts are on S3, and boto3 is missing", "Install it: pip install 'boostlab[s3]'")
            names.append("boto3")
    return ", ".join(names) or "none needed"


def _check_disk(folder: Path) -> str:
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    shown = f"{free / (1 << 30):.1f} GiB free in {there}"
    if not os.access(there, os.W_OK):
        raise _FaultError(f"{there} is not writable", "Make it writable, or set XDG_STATE_HOME to another folder.")
    if free < LITTLE_BYTES:
        raise _FaultError(shown, "Make room there: a run needs 100 MB and more.", "fails" if free < NONE_BYTES else "warning")
    return shown


def _check_store_disk(store: Store) -> str:
    return _check_disk(store.path) if store.scheme in ("sqlite", "file") else "on the server"


def _check_clock(store: Store) -> str:
    if store.scheme not in ("http", "https"):
        return "that of this machine"
    sent = email.utils.parsedate_to_datetime(_ask_server(store, "/health").headers["Date"])
    difference_s = time.time() - sent.timestamp()
    shown = f"{difference_s:+.0f} s from the server's"
    if abs(difference_s) > MAX_CLOCK_S:
        raise _FaultError(shown, "Synchronise this machine's clock: timedatectl set-ntp true", "warning")
    return shown


def _check_journals() -> str:
    waiting = []
    for journal in waiting_journals():
        if journal.acquire() and journal.acquire_delivery():  # neither its owner lives nor its courier
            waiting.append(journal)
        journal.release()
    if waiting:
        raise _FaultError(f"{len(waiting)} in {journals_folder()}", "Deliver them: boostlab deliver", "warning")
    return "none"


def _check_extensions() -> str:
    from jupyter_core.paths import jupyter_path

    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    missing = [name for name in EXTENSIONS if not any((folder / name).is_dir() for folder in folders)]
    if missing:
        raise _FaultError(f"missing: {', '.join(missing)}", "Install boostlab again in the environment of JupyterLab.", "warning")
    return f"{', '.join(EXTENSIONS)}; JupyterLab {version('jupyterlab')}"


def _check_proxy(store: Store) -> str:
    found = [each for each in entry_points(group="jupyter_serverproxy_servers") if each.name == PROXY_NAME]
    if not found:
        raise _FaultError("JupyterLab does not know it", "Install boostlab into the environment of JupyterLab.", "warning")
    shown = os.environ.get(PROXY_VARIABLE, store.shown)
    if shown != store.shown:
        raise _FaultError(
            f"it shows {shown}, not {store.shown}", "Start JupyterLab with the same MLFLOW_TRACKING_URI.", "warning"
        )
    return f"at …/{PROXY_NAME}/, for {store.shown}"


def _check_docker() -> str:
    import docker

    try:
        with closing(docker.from_env(timeout=DOCKER_TIMEOUT_S)) as client:
            found = client.version()["Version"]
    except docker.errors.DockerException as error:
        advice = "Only deploy.ipynb needs it. Start Docker, and be allowed to use it (group docker)."
        raise _FaultError(str(error).strip().splitlines()[0], advice, "warning") from None
    return f"engine {found}"
