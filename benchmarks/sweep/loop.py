"""Execute the stock notebook of another benchmark with one learning rate after another, as a loop of papermill commands does.

Usage: ``python -m benchmarks.sweep.loop TRACKING_URI TRIALS PROCESSES``.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STOCK = Path(__file__).parents[1] / "train_overhead" / "stock.ipynb"


def main(tracking_uri: str, trials: int, processes: int) -> None:
    """Execute the notebook `trials` times, in that many processes at a time."""

    def execute(number: int) -> None:
        papermill = str(Path(sys.executable).with_name("papermill"))
        values = {"tracking_uri": tracking_uri, "eta": str(0.02 + number / 100), "max_depth": str(2 + number % 6)}
        given = [part for name, value in values.items() for part in ("-p", name, value)]
        subprocess.run([papermill, str(STOCK), f"out-{number}.ipynb", *given], check=True, capture_output=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(execute, range(trials)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
