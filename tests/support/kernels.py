"""Kernels of the tests: code runs in them, and their processes are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.template import Template


async def start(manager: AsyncKernelManager, **options: Any) -> Any:
    """Start the manager's kernel and return a client that it has answered."""
    await manager.start_kernel(**options)
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=TIMEOUT_S)
    return client


@asynccontextmanager
async def forked(template: Template, **options: Any) -> AsyncIterator[tuple[ForkedKernel, Any]]:
    """Yield a kernel that was forked from the template, with its client."""
    kernel = ForkedKernel(template, "python3")
    manager = kernel.manager()
    client = await start(manager, **options)
    try:
        yield kernel, client
    finally:
        client.stop_channels()
        kernel.discard()
        await manager.cleanup_resources()


def run_forked(template: Template, code: str, **options: Any) -> str:
    """Return what code prints in a forked kernel."""

    async def whole() -> str:
        async with forked(template, **options) as (_, client):
            return await run(client, code)

    return asyncio.run(whole())


async def run(client: Any, code: str) -> str:
    """Run code and return what it prints."""
    printed: list[str] = []

    def take(message: Any) -> None:
        assert message["msg_type"] != "error", message["content"]["traceback"]
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    await client.execute_interactive(code, timeout=TIMEOUT_S, output_hook=take)
    return "".join(printed)


def run_once(manager: AsyncKernelManager, code: str, **options: Any) -> str:
    """Return what code prints in a kernel that is started for it and ends after it."""

    async def whole() -> str:
        client = await start(manager, **options)
        printed = await run(client, code)
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        return printed

    return asyncio.run(whole())


def wait_for_end(*pids: int) -> None:
    """Wait until none of these processes runs; one that has ended and is not reaped does not run."""
    wait_until(lambda: not any(runs(pid) for pid in pids))


def runs(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def parent(pid: int) -> int:
    """Return the process id of a process's parent."""
    return int(psutil.Process(pid).ppid())
