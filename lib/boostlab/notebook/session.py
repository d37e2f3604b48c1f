"""The front end of a kernel: find the kernel's notebook, and ask the browser to save it.

A kernel is not told its notebook. The Jupyter server knows it, also after the notebook was renamed; the kernel finds the
server through a file that the server writes at its start. Only the browser has the outputs on the screen; it is asked
through ipylab.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOURNAL_VARIABLE = "BOOSTLAB_JOURNAL"  # set in the kernel of a headless execution: the folder of the run's journal
TRIAL_VARIABLE = "BOOSTLAB_TRIAL"  # set in the kernel of a sweep's trial: JSON with the socket and the metric of its reports
SERVER_TIMEOUT_S = 5.0
SAVE_TIMEOUT_S = {"docmanager:save": 2.0, "docmanager:save-all": 8.0}
POLL_S = 0.02


def is_headless() -> bool:
    """Tell whether papermill executes this notebook, so that nobody can use a widget."""
    return JOURNAL_VARIABLE in os.environ


def is_trial() -> bool:
    """Tell whether this notebook is executed as a trial of a sweep."""
    return TRIAL_VARIABLE in os.environ


@dataclass(frozen=True)
class Session:
    """The front end of a kernel."""

    notebook: Path | None  #: file of the notebook under its present name; None if unknown
    server: str = ""  #: address of the server with a slash at the end; empty without a server
    watched: bool = False  #: whether a browser is connected to the kernel; assumed true if the server does not tell


def find_session() -> Session:
    """Return the front end of this kernel; its server is asked if there is one."""
    server = _read_server() if find_shell() is not None else {}  # child processes of a kernel have its environment, but no shell
    if not server:
        return Session(_vscode_notebook())
    import requests

    try:
        found = _ask_server(server)
    except (requests.RequestException, ValueError) as error:  # fall back to the name from the kernel's start
        given = os.environ.get("JPY_SESSION_NAME")
        refused = isinstance(error, requests.HTTPError | requests.exceptions.SSLError)  # for example by a server with a password
        return Session(Path(given) if given else None, server["url"], watched=refused)
    if found is None:
        return Session(None, server["url"])
    return Session(Path(server["root_dir"]) / found["path"], server["url"], bool(found["kernel"].get("connections", 1)))


def find_shell() -> Any:
    """Return the IPython shell of this process, if it is a kernel."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None


def save_notebook(session: Session, *, stop: threading.Event | None = None) -> bool:
    """Ask the browser to save the notebook, wait for the file, and return whether it was saved.

    JupyterLab saves the tab in front. If that is another notebook, it is asked to save all open documents, as its autosave
    does every two minutes.

    Parameters
    ----------
    stop : threading.Event, optional
        Ends the wait once it is set.
    """
    path = session.notebook
    if path is None or not session.watched:
        return False
    from ipylab import JupyterFrontEnd

    commands = JupyterFrontEnd().commands
    before = _stamp(path)
    for command, timeout_s in SAVE_TIMEOUT_S.items():
        if command == "docmanager:save" and path.name.startswith("Untitled"):
            continue  # JupyterLab would ask for a name
        commands.execute(command)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not (stop is not None and stop.is_set()):
            if _stamp(path) != before and _is_whole(path):
                return True
            time.sleep(POLL_S)
    return False


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _is_whole(path: Path) -> bool:
    """Tell whether a notebook's file is complete: the server writes it in place."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _read_server() -> dict[str, Any]:
    """Return the address, token and root folder of the kernel's server, from the server's own file.

    ``jupyter_server.serverapp.list_running_servers`` reads the same file, but its import takes seconds.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    notes = Path(jupyter_runtime_dir()) / f"jpserver-{os.environ.get('JPY_PARENT_PID')}.json"
    try:
        server: dict[str, Any] = json.loads(notes.read_text())
    except (OSError, ValueError):
        return {}
    return server


def _ask_server(server: dict[str, Any]) -> dict[str, Any] | None:
    """Return the server's session of this kernel, if there is one."""
    import requests
    from ipykernel.connect import get_connection_file

    kernel_id = Path(get_connection_file()).stem.removeprefix("kernel-")
    headers = {"Authorization": f"token {server['token']}"} if server.get("token") else {}
    answer = requests.get(f"{server['url']}api/sessions", headers=headers, timeout=SERVER_TIMEOUT_S)
    answer.raise_for_status()
    return next((item for item in answer.json() if item["type"] == "notebook" and item["kernel"]["id"] == kernel_id), None)


def _vscode_notebook() -> Path | None:
    """Return the notebook's path in VS Code, which sets it as a variable in the kernel."""
    shell = find_shell()
    given = "" if shell is None else shell.user_ns.get("__vsc_ipynb_file__", "")
    return Path(given) if given else None
