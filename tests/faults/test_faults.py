"""A sample of all faults between "run requested" and "promoted": each promise holds after each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.paths import PROJECT

pytestmark = pytest.mark.slow
SEED = 20261128
SIZES = {"sqlite": 240, "server": 60}
SHARES = {"sqlite": 4, "server": 2}  # each is a test, so that the tests' processes share the work


@pytest.mark.parametrize(("store", "share"), [(store, part) for store, parts in SHARES.items() for part in range(1, parts + 1)])
def test_no_fault_breaks_a_promise(store: str, share: int) -> None:
    sample = ["--sample", str(SIZES[store]), "--seed", str(SEED), "--share", f"{share}/{SHARES[store]}"]
    command = [sys.executable, "-m", "tests.faults", "--store", store, *sample, "--jobs", "1"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SIZES[store] // SHARES[store]} replays" in done.stdout
