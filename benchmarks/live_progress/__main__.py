"""Time a training with live progress in a real kernel against the same training without it. Print medians and their ratio.

Usage: ``python -m benchmarks.live_progress [--rows N] [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import json
import statistics

import nbformat
from nbclient import NotebookClient

from benchmarks.report import print_table

TARGET = 1.02
ROUNDS = 400
CODE = """
import json, time
import numpy as np, xgboost as xgb
from boostlab.display import RoundProgress
draw = np.random.default_rng(7)
rows = draw.standard_normal(({rows}, 28)).astype(np.float32)
target = rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2] * 2) + draw.standard_normal(len(rows))
half = len(rows) // 2
train = xgb.QuantileDMatrix(rows[:half], target[:half])
valid = xgb.QuantileDMatrix(rows[half:], target[half:], ref=train)
def fit(callbacks):
    started = time.perf_counter()
    xgb.train({{"eta": 0.05, "max_depth": 6}}, train, {rounds}, evals=[(train, "train"), (valid, "valid")],
              evals_result={{}}, verbose_eval=False, callbacks=callbacks)
    return time.perf_counter() - started
fit([])
silent, drawn = [], []
for turn in range({repeat}):
    for kind in ("silent", "drawn") if turn % 2 else ("drawn", "silent"):
        silent.append(fit([])) if kind == "silent" else drawn.append(fit([RoundProgress({rounds})]))
print(json.dumps([silent, drawn]))
"""


def main() -> None:
    """Measure both sides in one kernel, alternating."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_progress")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    source = CODE.format(rows=given.rows, repeat=given.repeat, rounds=ROUNDS)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
    text = next(output.text for output in notebook.cells[0].outputs if output.output_type == "stream")
    silent, drawn = (statistics.median(times) for times in json.loads(text.strip().splitlines()[-1]))
    lines = [
        f"| {ROUNDS} rounds, {given.rows:,} rows | without progress | with live progress | ratio | target |",
        "| --- | --- | --- | --- | --- |",
        f"| training | {silent:.2f} s | {drawn:.2f} s | {drawn / silent:.3f} | at most {TARGET} |",
    ]
    print_table("live_progress", lines, rounds=given.repeat, readme=given.readme)


if __name__ == "__main__":
    main()
