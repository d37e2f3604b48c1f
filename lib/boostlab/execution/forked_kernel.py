"""The kernel of one headless execution, forked from a template.

It has the interface of :class:`boostlab.execution.kernel.WarmKernel`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager

from boostlab.execution.kernel import describe_sockets, describe_status, find_spec
from boostlab.execution.provisioner import ForkedProvisioner, is_forkable
from boostlab.execution.socket_folder import make_folder
from boostlab.execution.template import ForkedProcess, Template


class ForkedKernel:
    """The kernel of one notebook: it has its packages from the start, and shares their memory with the template.

    A kernel of another environment or language starts as usual.

    Raises
    ------
    LabError
        If the kernelspec does not exist.
    """

    def __init__(self, template: Template, kernel_name: str) -> None:
        self.name = kernel_name
        self._template = template
        self._spec = find_spec(kernel_name)
        self._provisioner: ForkedProvisioner | None = None
        self._is_killed = False
        self._folder: Path | None = None

    def manager(self) -> AsyncKernelManager:
        """Return a kernel manager that will fork its kernel; they talk through sockets in a folder of their own."""
        manager = AsyncKernelManager(kernel_name=self.name, transport_encryption="auto")
        if is_forkable(self._spec.argv):
            self._folder = make_folder()
            manager = AsyncKernelManager(
                kernel_name=self.name,
                client_class="boostlab.execution.forked_client.ForkedClient",
                **describe_sockets(self._folder),
            )
        self._provisioner = ForkedProvisioner(kernel_id="", kernel_spec=manager.kernel_spec, parent=manager)
        self._provisioner.template, self._provisioner.is_cancelled = self._template, self._is_killed
        manager.provisioner = self._provisioner
        return manager

    def kill(self) -> None:
        """Kill the process and its children, or let it be killed when it starts; a signal handler may call it."""
        self._is_killed = True
        if self._provisioner is not None:
            self._provisioner.is_cancelled = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def discard(self) -> None:
        """Kill the process and its children, wait for its end, and remove the sockets."""
        self.kill()
        process = self._process
        if process is not None:
            process.wait()
        if isinstance(process, ForkedProcess):
            process.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def describe_death(self) -> str:
        """Return how the kernel died, as far as the exit status tells."""
        return describe_status(None if self._process is None else self._process.poll())

    @property
    def _process(self) -> ForkedProcess | subprocess.Popen[bytes] | None:
        return None if self._provisioner is None else self._provisioner.launched
