from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from boostlab.gc_pause import uncollected

FREEZE_AT_EXIT = """
import atexit, gc
atexit.register(lambda: print("frozen", gc.get_freeze_count() > 0))  # runs last
from boostlab.gc_pause import uncollected
with uncollected():
    pass
with uncollected():
    pass
print("frozen", gc.get_freeze_count() > 0)
"""


def test_switches_the_collector_off_for_the_block_alone() -> None:
    with uncollected():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_switches_the_collector_on_again_after_an_error() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError

    assert gc.isenabled()


def test_leaves_a_collector_off_that_was_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_spares_the_collector_its_last_walk() -> None:
    done = subprocess.run([sys.executable, "-c", FREEZE_AT_EXIT], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["frozen False", "frozen True"]
