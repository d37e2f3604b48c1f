"""Time the start of a kernel, from the order to its first answer, and measure the memory that it has for itself.

A kernel forked from a template is compared with an ordinary one. The ordinary one has the lab's packages only after a first cell
that imports them. Usage: ``python -m benchmarks.kernel_start [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager

from benchmarks.report import print_table
from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.template import Template

READY_TARGET_S = 0.060
MEMORY_TARGET_MB = 25
TIMEOUT_S = 120
PACKAGES = "import numpy, pandas, pyarrow, scipy.stats, sklearn.metrics, xgboost, matplotlib.pyplot, seaborn"
AS_NBCLIENT = ["--HistoryManager.hist_file=:memory:"]


@dataclass(frozen=True)
class Start:
    """One start of a kernel."""

    ready_s: float  #: until it answered
    packages_s: float  #: until it had also imported the lab's packages
    idle_mb: float  #: memory that it shares with no other process, after the answer
    loaded_mb: float  #: the same, with the packages


async def measure(manager: AsyncKernelManager, env: dict[str, str]) -> Start:
    """Start the manager's kernel, measure it, and kill it."""
    started = time.perf_counter()
    await manager.start_kernel(extra_arguments=AS_NBCLIENT, env=env)
    client = manager.client()
    client.start_channels(hb=False)
    client.kernel_info()
    await client.get_shell_msg(timeout=TIMEOUT_S)
    ready_s = time.perf_counter() - started
    idle_mb = _private_mb(manager.provisioner.pid)
    client.execute(PACKAGES)
    await client.get_shell_msg(timeout=TIMEOUT_S)
    packages_s = time.perf_counter() - started
    loaded_mb = _private_mb(manager.provisioner.pid)
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    return Start(ready_s, packages_s, idle_mb, loaded_mb)


async def compare(repeat: int, env: dict[str, str]) -> dict[str, list[Start]]:
    """Measure both kinds, alternating; the first round does not count."""
    starts: dict[str, list[Start]] = {"forked": [], "ordinary": []}
    template = Template()
    template.start(env)
    for turn in range(repeat + 1):
        kernel = ForkedKernel(template, "python3")
        forked = await measure(kernel.manager(), env)
        kernel.discard()
        ordinary = await measure(AsyncKernelManager(kernel_name="python3"), env)
        if turn:
            starts["forked"].append(forked)
            starts["ordinary"].append(ordinary)
            print(f"round {turn} of {repeat}: {forked.ready_s:.3f} s, {ordinary.ready_s:.3f} s", file=sys.stderr)
    template.close()
    return starts


def render(starts: dict[str, list[Start]]) -> list[str]:
    """Return the lines of the Markdown table."""

    def line(title: str, field: str, form: str, target: str = "") -> str:
        forked, ordinary = (statistics.median(getattr(start, field) for start in starts[kind]) for kind in ("forked", "ordinary"))
        return f"| {title} | {forked:{form}} | {ordinary:{form}} | {forked / ordinary:.2f} | {target} |"

    return [
        "| | forked kernel | ordinary kernel | ratio | target |",
        "| --- | --- | --- | --- | --- |",
        line("ready, in s", "ready_s", ".3f", f"at most {READY_TARGET_S} s"),
        line("ready with the lab's packages, in s", "packages_s", ".3f"),
        line("own memory when idle, in MB", "idle_mb", ".1f", f"at most {MEMORY_TARGET_MB} MB"),
        line("own memory with the packages, in MB", "loaded_mb", ".1f"),
    ]


def _private_mb(pid: Any) -> float:
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def main() -> None:
    """Measure both kinds of kernel in one session."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_start")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"IPYTHONDIR": folder}
        starts = asyncio.run(compare(given.repeat, env))
    print_table("kernel_start", render(starts), rounds=given.repeat, readme=given.readme)


if __name__ == "__main__":
    main()
