"""What tests of headless executions share: the types of their fixtures, and what they wait for and look at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from papermill.cli import papermill as papermill_command
from tests.support.common import all_runs, wait_until

NOTEBOOK = {"notebook/tiny.html", "notebook/tiny.ipynb"}
Look = Callable[..., Any]
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Write = Callable[..., Path]


def run_here(*arguments: object) -> Result:
    """Run papermill's command in this process: what it refuses before a cell runs takes no new process."""
    return CliRunner().invoke(papermill_command, ["--no-progress-bar", *map(str, arguments)])


def wait_for(path: Path) -> str:
    """Return a file's text once a notebook has written it."""
    return str(wait_until(lambda: path.exists() and path.read_text()))


def only_run(client: Any) -> Any:
    """Return the one run of a store."""
    (run,) = all_runs(client)
    return run
