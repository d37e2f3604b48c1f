"""What tests of headless executions share: the types of their fixtures, and what they wait for and look at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.common import all_runs, wait_until

NOTEBOOK = {"notebook/tiny.html", "notebook/tiny.ipynb"}
Look = Callable[..., Any]
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Write = Callable[..., Path]


def wait_for(path: Path) -> str:
    """Return a file's text once a notebook has written it."""
    return str(wait_until(lambda: path.exists() and path.read_text()))


def only_run(client: Any) -> Any:
    """Return the one run of a store."""
    (run,) = all_runs(client)
    return run
