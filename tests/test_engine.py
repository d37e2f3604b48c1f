"""The papermill engine: notebooks of others run as without boostlab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.support.executions import Papermill, Write

pytestmark = pytest.mark.slow


def test_a_notebook_without_the_mark_runs_as_in_papermill(write_notebook: Write, papermill: Papermill, tmp_path: Path) -> None:
    done = papermill(write_notebook("print(nothing)", marked=False), "out.ipynb", "-p", "nothing", 5)
    assert done.returncode == 0, done.stderr
    assert "Passed unknown parameter: nothing" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_papermills_own_tests_pass_as_they_do_without_boostlab(tmp_path: Path) -> None:
    """Run papermill's suite with the plugin, and what fails once more with papermill's default engine put back."""
    undo = "from papermill.engines import NBClientEngine, papermill_engines\npapermill_engines.register(None, NBClientEngine)\n"
    (tmp_path / "without_boostlab.py").write_text(undo)
    outcomes = _run_papermill_suite(tmp_path)
    again = _run_papermill_suite(tmp_path, "--last-failed", "-p", "without_boostlab")
    failed = {name for name, outcome in outcomes.items() if outcome in ("failed", "error")}
    assert failed == {name for name, outcome in again.items() if outcome in ("failed", "error")}
    assert sum(outcome == "passed" for outcome in outcomes.values()) > 400


def _run_papermill_suite(folder: Path, *options: str) -> dict[str, str]:
    """Return the outcome of each test; two modules test clouds that need packages of their own and fail at their import."""
    command = [sys.executable, "-m", "pytest", "--pyargs", "papermill", "-q", "-c", os.devnull, "--junitxml=report.xml"]
    command += ["--continue-on-collection-errors", "--basetemp=tmp", "-o", f"cache_dir={folder / 'cache'}", *options]
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, check=False)
    kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return {
        f"{case.get('classname')}.{case.get('name')}": next((kinds[child.tag] for child in case if child.tag in kinds), "passed")
        for case in ElementTree.parse(folder / "report.xml").getroot().iter("testcase")
    }
