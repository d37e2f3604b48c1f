"""The papermill engine: notebooks of others run as without boostlab."""

from __future__ import annotations

import contextlib
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
    """Run papermill's suite twice, side by side: with the plugin, and with papermill's default engine put back."""
    undo = "from papermill.engines import NBClientEngine, papermill_engines\npapermill_engines.register(None, NBClientEngine)\n"
    (tmp_path / "without_boostlab.py").write_text(undo)
    reports = {tmp_path / "with.xml": [], tmp_path / "without.xml": ["-p", "without_boostlab"]}
    with contextlib.ExitStack() as running:
        for report, options in reports.items():
            running.enter_context(_start_papermill_suite(report, options))
    with_boostlab, without = map(_read_outcomes, reports)
    assert with_boostlab == without
    assert sum(outcome == "passed" for outcome in without.values()) > 400


def _start_papermill_suite(report: Path, options: list[str]) -> subprocess.Popen[bytes]:
    folder = report.with_suffix("")
    folder.mkdir()
    command = [sys.executable, "-m", "pytest", "--pyargs", "papermill", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-c", os.devnull, f"--basetemp={folder / 'tmp'}"]
    command += ["--continue-on-collection-errors"]  # two modules test clouds that need packages of their own
    env = os.environ | {"PYTHONPATH": str(report.parent)}
    return subprocess.Popen([*command, *options], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _read_outcomes(report: Path) -> dict[str, str]:
    kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return {
        f"{case.get('classname')}.{case.get('name')}": next((kinds[child.tag] for child in case if child.tag in kinds), "passed")
        for case in ElementTree.parse(report).getroot().iter("testcase")
    }
