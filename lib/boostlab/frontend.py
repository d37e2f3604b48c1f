"""The JupyterLab around a kernel: which notebook the kernel belongs to, and asking for it to be saved.

The kernel is told nothing of this by itself. Its server's notes on this machine, and the server, know the notebook even
after it was renamed; the browser, which alone has what is on the screen, is asked through ipylab.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_TIMEOUT_S = 5.0
SAVE_TIMEOUT_S = {"docmanager:save": 2.0, "docmanager:save-all": 8.0}
POLL_S = 0.02


@dataclass(frozen=True)
class Session:
    """A kernel's place in JupyterLab, or in another front end.

    Attributes
    ----------
    notebook : pathlib.Path or None
        The notebook's file, under its present name; None where nobody knows it.
    server : str
        The server's address with a slash at its end; empty where there is none, or none that lets itself be asked.
    watched : bool
        Whether a browser is connected to the kernel, as far as the server tells.
    """

    notebook: Path | None
    server: str = ""
    watched: bool = False


def find_session() -> Session:
    """Return where this kernel stands, asking its server if there is one."""
    given = os.environ.get("JPY_SESSION_NAME") or _vscode_notebook()
    known = Session(Path(given) if given else None)
    server = _read_server()
    if not server:
        return known
    found = _ask_server(server)
    if found is None:
        return known
    return Session(Path(server["root_dir"]) / found["path"], server["url"], bool(found["kernel"].get("connections", 1)))


def save_notebook(session: Session) -> bool:
    """Ask the browser to save the notebook as it is on the screen; return whether it did, once the file is there.

    JupyterLab saves the tab in front. If that is another one, it is asked to save all open documents, as it does by itself
    every other minute.
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
        while time.monotonic() < deadline:
            if _stamp(path) != before:
                return True
            time.sleep(POLL_S)
    return False


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


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
    """Return the server's session of this kernel."""
    import requests
    from ipykernel.connect import get_connection_file

    kernel_id = Path(get_connection_file()).stem.removeprefix("kernel-")
    headers = {"Authorization": f"token {server['token']}"} if server.get("token") else {}
    try:
        answer = requests.get(f"{server['url']}api/sessions", headers=headers, timeout=SERVER_TIMEOUT_S)
        sessions = answer.json() if answer.ok else []
    except (requests.RequestException, ValueError):
        return None
    return next((item for item in sessions if item["type"] == "notebook" and item["kernel"]["id"] == kernel_id), None)


def _vscode_notebook() -> str:
    """Return the notebook's path where VS Code runs the kernel: it leaves a note among the user's variables."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return str(shell.user_ns.get("__vsc_ipynb_file__", "")) if shell is not None else ""
