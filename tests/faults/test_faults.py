"""A sample of all faults between "run requested" and "promoted": each promise holds after each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.paths import PROJECT

pytestmark = pytest.mark.slow
SEED = 20261128


@pytest.mark.parametrize(("store", "count"), [("sqlite", 240), ("server", 60)])
def test_no_fault_breaks_a_promise(store: str, count: int) -> None:
    options = ["--store", store, "--sample", str(count), "--seed", str(SEED), "--jobs", "1"]
    command = [sys.executable, "-m", "tests.faults", *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} replays" in done.stdout
