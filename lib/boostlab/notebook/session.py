"""The JupyterLab around a kernel: which notebook the kernel belongs to, and asking for it to be saved.

The kernel is told nothing of this by itself. Its server's notes on this machine, and the server, know the notebook even
after it was renamed; the browser, which alone has what is on the screen, is asked through ipylab.
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
SERVER_TIMEOUT_S = 5.0
SAVE_TIMEOUT_S = {"docmanager:save": 2.0, "docmanager:save-all": 8.0}
POLL_S = 0.02


def is_headless() -> bool:
    """Tell whether an engine executes this notebook, so that nobody looks at it or answers a widget."""
    return JOURNAL_VARIABLE in os.environ


@dataclass(frozen=True)
class Session:
    """A kernel's place in JupyterLab, or in another front end.

    Attributes
    ----------
    notebook : pathlib.Path or None
        The notebook's file, under its present name; None where nobody knows it.
    server : str
        The server's address with a slash at its end; empty where there is none.
    watched : bool
        Whether a browser is connected to the kernel; assumed where the server does not tell.
    """

    notebook: Path | None
    server: str = ""
    watched: bool = False


def find_session() -> Session:
    """Return where this kernel stands, asking its server if there is one."""
    server = _read_server() if find_shell() is not None else {}  # what a kernel starts inherits its environment
    if not server:
        return Session(_vscode_notebook())
    import requests

    try:
        found = _ask_server(server)
    except (requests.RequestException, ValueError) as error:  # the name from when the kernel started must do
        given = os.environ.get("JPY_SESSION_NAME")
        refused = isinstance(error, requests.HTTPError | requests.exceptions.SSLError)  # as one with a password does
        return Session(Path(given) if given else None, server["url"], watched=refused)
    if found is None:
        return Session(None, server["url"])
    return Session(Path(server["root_dir"]) / found["path"], server["url"], bool(found["kernel"].get("connections", 1)))


def find_shell() -> Any:
    """Return the interactive shell that runs this process's cells, if it is a kernel's."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None


def save_notebook(session: Session, *, stop: threading.Event | None = None) -> bool:
    """Ask the browser to save the notebook as it is on the screen; return whether it did, once the file is there.

    JupyterLab saves the tab in front. If that is another one, it is asked to save all open documents, as it does by itself
    every other minute.

    Parameters
    ----------
    stop : threading.Event, optional
        Ends the waiting once it is set.
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
    """Tell whether a notebook's file can be read: its server writes it in place."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _read_server() -> dict[str, Any]:
    """Return what the server that started this kernel notes about itself on this machine: address, token, root folder."""
    from jupyter_core.paths import jupyter_runtime_dir

    notes = Path(jupyter_runtime_dir()) / f"jpserver-{os.environ.get('JPY_PARENT_PID')}.json"
    try:
        server: dict[str, Any] = json.loads(notes.read_text())
    except (OSError, ValueError):
        return {}
    return server


def _ask_server(server: dict[str, Any]) -> dict[str, Any] | None:
    """Return the server's session of this kernel, if it has one."""
    import requests
    from ipykernel.connect import get_connection_file

    kernel_id = Path(get_connection_file()).stem.removeprefix("kernel-")
    headers = {"Authorization": f"token {server['token']}"} if server.get("token") else {}
    answer = requests.get(f"{server['url']}api/sessions", headers=headers, timeout=SERVER_TIMEOUT_S)
    answer.raise_for_status()
    return next((item for item in answer.json() if item["type"] == "notebook" and item["kernel"]["id"] == kernel_id), None)


def _vscode_notebook() -> Path | None:
    """Return the notebook's path where VS Code runs the kernel: it leaves a note among the user's variables."""
    shell = find_shell()
    given = "" if shell is None else shell.user_ns.get("__vsc_ipynb_file__", "")
    return Path(given) if given else None
