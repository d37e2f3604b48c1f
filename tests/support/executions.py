"""What tests of headless executions share: the types of their fixtures, and what they wait for and look at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from papermill.cli import papermill as papermill_command
from tests.support.waiting import wait_until

PARAMETERS = """\
x: int = 1  # a number
experiment: str = "tiny"  # experiment
run_name: str = ""  # name
tracking_uri: str = ""  # store
"""
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
