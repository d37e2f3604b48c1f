"""Warm kernels."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from itertools import count
from pathlib import Path

import psutil
import pytest
from jupyter_client.connect import LocalPortCache
from tests.support.executions import Papermill, Write, run_here
from tests.support.waiting import wait_until

from boostlab.execution.kernel import WarmKernel

pytestmark = pytest.mark.slow


def test_a_variable_set_in_a_cell_acts_on_a_package_imported_later(
    write_notebook: Write, papermill: Papermill, store: str, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text("print('loaded')")
    cells = (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
        "import loud, xgboost, threadpoolctl\nprint(threadpoolctl.threadpool_info())",
    )
    done = papermill(write_notebook(*cells), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
    printed = "".join(text for output in outputs for text in output["text"])
    assert printed.startswith("loaded")
    assert "'num_threads': 1" in printed
    assert "'user_api': 'openmp', 'internal_api': 'openmp', 'num_threads': 2" not in printed


def test_a_kernel_starts_though_its_warm_process_dies_just_before_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start() -> bool:
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=100)
            return bool(await manager.is_alive())
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    kernel = WarmKernel([], "python3")
    manager = kernel.manager()
    warm = manager.provisioner.warm
    os.kill(warm.pid, signal.SIGKILL)
    wait_until(lambda: psutil.Process(warm.pid).status() == psutil.STATUS_ZOMBIE)
    monkeypatch.setattr(warm, "poll", lambda: None)  # as it was when it was looked at
    try:
        assert asyncio.run(start())
    finally:
        kernel.discard()


@pytest.mark.parametrize("taken", range(1, 6))
def test_a_port_that_another_process_takes_is_no_loss(
    write_notebook: Write, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """Jupyter chooses five ports before the kernel opens them: with a taken one it dies, or never answers."""
    find, number = LocalPortCache.find_available_port, count(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda *given: port if next(number) == taken else find(*given))
        done = run_here(write_notebook("print(x)"), tmp_path / "out.ipynb", "-k", "python3", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
