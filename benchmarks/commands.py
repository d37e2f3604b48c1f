"""Time whole commands, alternating, and print medians and boostlab's share of each other one's as a table of the README."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.report import print_table

Commands = Callable[[Path], dict[str, list[str]]]  # a folder to write to in, commands by their name out


def compare_commands(name: str, commands: Commands, *, targets: Mapping[str, float], title: str, usage: str | None) -> None:
    """Measure and print the benchmark `name`; with ``--readme``, update the README.

    `targets` are the most that boostlab may take, as a share of each other command's time.
    """
    parser = argparse.ArgumentParser(description=usage)
    parser.add_argument("--repeat", type=int, default=7, help="counted rounds")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    seconds = _measure(options.repeat, commands)
    print_table(name, _render(seconds, targets, title), rounds=options.repeat, readme=options.readme)


def _measure(repeat: int, commands: Commands) -> dict[str, list[float]]:
    """Return seconds of wall time per command. The first round makes the store and does not count."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "XDG_STATE_HOME": temporary}
        for turn in range(repeat + 1):
            for name, command in commands(folder).items():
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
                if turn:
                    seconds.setdefault(name, []).append(time.perf_counter() - started)
                print(f"round {turn} of {repeat}: {name:<16}{time.perf_counter() - started:6.2f} s", file=sys.stderr)
    return seconds


def _render(seconds: Mapping[str, list[float]], targets: Mapping[str, float], title: str) -> list[str]:
    """Return the lines of the Markdown table."""
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    lines = [f"| {title} | median | range | boostlab takes | target |", "| --- | --- | --- | --- | --- |"]
    for name, values in seconds.items():
        ratio = f"{middle['boostlab'] / middle[name]:.2f} of it" if name in targets else ""
        target = f"at most {targets[name]}" if name in targets else ""
        lines.append(f"| {name} | {middle[name]:.1f} s | {min(values):.1f} to {max(values):.1f} s | {ratio} | {target} |")
    return lines
