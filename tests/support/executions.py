"""What tests of headless executions share: the types of their fixtures, and what they wait for and look at."""

from __future__ import annotations

import io
import logging
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill.log
from click.testing import CliRunner
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


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run papermill's command in this process, with a forked kernel: packages are loaded once. The log is in `stdout`."""
    command, logged = ["--no-progress-bar", "-k", "boostlab", *map(str, arguments)], io.StringIO()
    handler, level = logging.StreamHandler(logged), papermill.log.logger.level
    papermill.log.logger.addHandler(handler)
    papermill.log.logger.setLevel(logging.INFO)
    try:
        done = CliRunner().invoke(papermill_command, command)
    finally:
        papermill.log.logger.removeHandler(handler)
        papermill.log.logger.setLevel(level)
    is_error = done.exception is not None and not isinstance(done.exception, SystemExit)
    trace = "".join(traceback.format_exception(done.exception)) if is_error else ""
    return subprocess.CompletedProcess(command, done.exit_code, logged.getvalue() + done.stdout, done.stderr + trace)


def wait_for(path: Path) -> str:
    """Return a file's text once a notebook has written it."""
    return str(wait_until(lambda: path.exists() and path.read_text()))
