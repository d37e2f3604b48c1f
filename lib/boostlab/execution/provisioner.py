"""The kernel provisioner of forked kernels: Jupyter starts them as it starts any other kernel.

Jupyter finds it as ``boostlab-forked`` (an entry point), and the kernelspec ``boostlab`` names it. Where no kernel can be forked,
it starts an ordinary one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner

from boostlab.errors import LabError
from boostlab.execution.kernel import LAUNCHER, OWN_NAMES, POLL_S, make_order, wait_for_sockets
from boostlab.execution.template import ForkedProcess, Template, share_template

NAME = "boostlab-forked"  # as in the entry point
KILL_TIMEOUT_S = 1.0
CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
_told: set[str] = set()  # reasons for ordinary kernels that the log has


class ForkedProvisioner(LocalProvisioner):
    """Starts a kernel on this machine: forked from the template of this process, or from another one that was given."""

    template: Template | None = None
    launched: ForkedProcess | subprocess.Popen[bytes] | None = None  # the last kernel, also after its end
    is_cancelled = False  # whether the kernel was killed, perhaps before it started

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork the kernel that `cmd` describes; start it as usual if that is not possible."""
        if not CAN_FORK:
            return await self._launch_ordinary(cmd, "This system cannot fork one safely.", **kwargs)
        if not is_forkable(cmd):
            return await self._launch_ordinary(cmd, "Its kernelspec names another Python, or options of Python.", **kwargs)
        order = make_order(cmd, **kwargs)
        try:
            fork, loop = (self.template or share_template()).fork, asyncio.get_running_loop()
            with (
                _outputs(kwargs.get("stdout"), kwargs.get("stderr")) as outputs,
                ThreadPoolExecutor(1) as thread,  # the loop's own has no threads in a forked process
            ):
                process = await loop.run_in_executor(thread, functools.partial(fork, order, outputs=outputs))
        except (LabError, OSError) as error:
            return await self._launch_ordinary(cmd, str(error), **kwargs)
        self.process, self.pid, self.pgid, self.launched = process, process.pid, process.pid, process
        self.cwd = order.cwd
        if self.is_cancelled:
            process.kill()
        await wait_for_sockets(self.connection_info, process)
        return self.connection_info

    async def kill(self, restart: bool = False) -> None:
        """Kill the kernel; Jupyter would look only after 100 ms whether it has ended."""
        await super().kill(restart)
        with contextlib.suppress(TimeoutError):  # then Jupyter goes on waiting
            await asyncio.wait_for(self.wait(), KILL_TIMEOUT_S)

    async def wait(self) -> int | None:
        """Wait for the end of a kernel, without the 100 ms after which Jupyter looks again."""
        while self.process is not None and await self.poll() is None:
            await asyncio.sleep(POLL_S)
        code: int | None = await super().wait()
        return code

    async def _launch_ordinary(self, cmd: list[str], reason: str, **kwargs: Any) -> Any:
        if reason not in _told:
            _told.add(reason)
            self.log.warning("Kernels start without a template, which takes longer. %s", reason)
        launched = await super().launch_kernel(cmd, **kwargs)
        self.launched = self.process
        if self.is_cancelled:
            self.process.kill()
        return launched


def is_forked(spec: KernelSpec) -> bool:
    """Tell whether the kernels of a kernelspec are forked: it asks for it, and it is possible here."""
    name = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name")
    return name == NAME and can_fork(spec)


def can_fork(spec: KernelSpec) -> bool:
    """Tell whether the kernels of a kernelspec can be forked here."""
    return CAN_FORK and is_forkable(spec.argv)


def is_forkable(command: list[str]) -> bool:
    """Tell whether a command starts ipykernel with the Python of this environment, without options of Python's own."""
    return command[0] in OWN_NAMES and command[1:3] == LAUNCHER


@contextlib.contextmanager
def _outputs(*given: Any) -> Iterator[list[int]]:
    """Yield descriptors for stdout and stderr: what the caller gave, as for a subprocess, or this process's own."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        yield [_find_descriptor(output, own, nowhere.fileno()) for own, output in enumerate(given, start=1)]


def _find_descriptor(given: Any, own: int, nowhere: int) -> int:
    """Return the descriptor of a given output, of the process's own, or of the null device if neither can be used."""
    descriptor = own if given is None else given if isinstance(given, int) else given.fileno()
    try:
        os.fstat(descriptor)
    except OSError:  # closed, or a number that means a pipe or the null device
        return nowhere
    return descriptor
