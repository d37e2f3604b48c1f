"""JupyterLab as people use it: a real server on loopback, a real kernel, a real browser."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import requests
from jupyter_server.auth.security import passwd
from playwright.sync_api import TimeoutError as PageTimeoutError
from tests.support.servers import free_port

CHROMIUM = shutil.which("chromium") or ""
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_TIMEOUT_S = 300
WAIT_MS = 300_000  # a stuck page, not a slow machine
KERNEL_WAIT_MS = 100_000  # of a first kernel, which may have lost its ports
SETTINGS = {  # no question about news, no autosave while a test looks at the file
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": '{"fetchNews": "false", "checkForUpdates": false}',
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": '{"autosave": false}',
    "@jupyterlab/apputils-extension/themes.jupyterlab-settings": '{"theme": "JupyterLab %s"}',
}


class Lab:
    """A JupyterLab server in a folder, and the pages that a browser has open on it.

    Attributes
    ----------
    folder : pathlib.Path
        The server's root: what lies in it can be opened.
    settings : mapping of str to str, optional
        Further settings of the user: the JSON text of each file.
    """

    def __init__(self, folder: Path, browser: Any, store: str, *, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder, self._browser, self._store = folder, browser, store
        self._settings = {**SETTINGS, **settings}
        self._state = folder.parent / f"{folder.name}-state"
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._server: subprocess.Popen[bytes] | None = None
        self._password = ""
        self._contexts: list[Any] = []

    def start(self, password: str = "", *, options: Sequence[str] = ()) -> None:
        """Start the server and wait until it answers; with a password, it takes no token. `options` are more of Jupyter's."""
        names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
        env = os.environ | {name: str(self._state / name) for name in names}
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(self._state / "settings"), "MLFLOW_TRACKING_URI": self._store}
        hashed = passwd(password) if password else ""  # type: ignore[no-untyped-call]
        every = [
            *options,
            f"--ServerApp.root_dir={self.folder}",
            f"--ServerApp.port={self.url.rpartition(':')[2]}",
            f"--IdentityProvider.token={'' if password else self.token}",
            f"--PasswordIdentityProvider.hashed_password={hashed}",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.open_browser=False",
            "--expose-app-in-browser",
            "--allow-root",
        ]
        self._state.mkdir(exist_ok=True)
        self._password = password
        with (self._state / "server.log").open("wb") as log:
            command = [sys.executable, "-m", "jupyter", "lab", *every]
            self._server = subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert time.monotonic() < deadline and self._server.poll() is None, (self._state / "server.log").read_text()[-2000:]
            time.sleep(0.1)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Close the browser's pages and stop the server with its kernels."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        if self._server is not None and self._server.poll() is None:
            os.kill(self._server.pid, signum)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()

    def open(self, name: str, *, dark: bool = False, width: int = 1280, height: int = 900) -> Page:
        """Open a notebook of the folder in a new browser window, and wait until its kernel is there."""
        for path, text in self._settings.items():
            target = self._state / "settings" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text % ("Dark" if dark else "Light") if "%s" in text else text)
        context = self._browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=1)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{self.url}/lab/tree/{name}?token={self.token}&reset")
        if self._password:
            page.fill("#password_input", self._password)
            page.press("#password_input", "Enter")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        shown = Page(page)
        try:
            shown.wait_idle(KERNEL_WAIT_MS)
        except PageTimeoutError:  # another process took one of its ports between their choice and their use: start another one
            page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
            page.reload()
            page.wait_for_selector(".jp-Notebook .jp-Cell")
            shown.wait_idle()
        return shown

    def kernel_pid(self) -> int:
        """Return the process of the one kernel that runs."""
        (kernel,) = [child for child in psutil.Process(self.pid).children() if "ipykernel_launcher" in " ".join(child.cmdline())]
        return int(kernel.pid)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._server is not None
        return self._server.pid

    def sessions(self) -> list[dict[str, Any]]:
        """Return the server's sessions: notebooks and their kernels."""
        answer = requests.get(f"{self.url}/api/sessions", headers={"Authorization": f"token {self.token}"}, timeout=10)
        return list(answer.json())

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/login", timeout=2).ok
        except requests.RequestException:
            return False


class Page:
    """One browser window with JupyterLab.

    Attributes
    ----------
    page : playwright.sync_api.Page
        For whatever has no method here.
    """

    def __init__(self, page: Any) -> None:
        self.page = page

    def command(self, name: str, *, wait: bool = True, **arguments: Any) -> None:
        """Run one of JupyterLab's commands, as its menus do; without `wait`, do not stay for its end."""
        script = f"([name, given]) => {'' if wait else 'void '}window.jupyterapp.commands.execute(name, given)"
        self.page.evaluate(script, [name, arguments])

    def run_all(self, *, wait: bool = True) -> None:
        """Run all cells; with `wait`, until the last is done."""
        self.command("notebook:run-all-cells", wait=wait)

    def run_code(self, code: str) -> None:
        """Add a cell at the end, run it and wait for its end."""
        self.page.evaluate(
            """code => { const panel = window.jupyterapp.shell.currentWidget;
            const model = panel.content.model.sharedModel;
            model.addCell({cell_type: 'code', source: code});
            panel.content.activeCellIndex = model.cells.length - 1; }""",
            code,
        )
        self.command("notebook:run-cell")

    def run_cells(self, first: int, last: int | None = None) -> None:
        """Run one cell, or those from the first to the last, and wait for their end."""
        for position in range(first, (first if last is None else last) + 1):
            self.page.evaluate("n => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = n; }", position)
            self.command("notebook:run-cell")

    def replace_text(self, position: int, old: str, new: str) -> None:
        """Write over a part of a cell's source."""
        source = self.page.evaluate(
            "n => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[n].getSource()", position
        )
        assert old in source
        self.edit_cell(position, source.replace(old, new))

    def edit_cell(self, position: int, source: str) -> None:
        """Write over a cell's source, as typing would."""
        self.page.evaluate(
            "([n, text]) => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[n].setSource(text)",
            [position, source],
        )

    def wait_idle(self, timeout_ms: float = 0) -> None:
        """Wait until the kernel is connected, and waits for work."""
        self.page.wait_for_function(
            """() => { const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
            const kernel = context?.session?.kernel;
            return context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'; }""",
            timeout=timeout_ms or WAIT_MS,
        )

    def outputs(self) -> list[list[dict[str, Any]]]:
        """Return the outputs that each code cell shows."""
        found: list[list[dict[str, Any]]] = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => cell.model.type === 'code').map(cell => cell.model.outputs.toJSON())"""
        )
        return found

    def close(self) -> None:
        """End the notebook's kernel and close the window."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.context.close()

    def screenshot(self, path: Path) -> None:
        """Take a picture of the window."""
        self.page.screenshot(path=str(path))
