"""Small lab notebooks for the trials of a sweep, and the sweeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.executions import PARAMETERS, Write
from tests.support.paths import PROJECT

SWEEP = PROJECT / "notebooks" / "sweep.ipynb"
TRIAL = PARAMETERS.replace("x: int = 1", "x: float = 0.5")
CODE = """\
from boostlab import start_run
from boostlab.notebook import Tracked

class Own(Tracked):
    x: float

run = start_run(Own.check(globals()))
for step in range(3):
    run.report("score", abs(x - 0.3) + step, step=step)
run.log_metrics({"score": abs(x - 0.3)})
run.finish()
"""
SPACE = "x: {low: 0.0, high: 1.0}\n"


def write_trial(write_notebook: Write, folder: Path, *, before: str = "") -> dict[str, Any]:
    """Write a notebook that reports and records a score, and its space; return the parameters of a sweep of it."""
    notebook = write_notebook(f"{before}\n{CODE}", parameters=TRIAL)
    space = folder / "space.yaml"
    space.write_text(SPACE)
    return {"notebook": str(notebook), "space": str(space), "metric": ["score"], "direction": ["lower"], "study": "tiny"}
