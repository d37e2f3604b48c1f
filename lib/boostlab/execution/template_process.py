"""The template process: it imports the lab's packages once, and forks a kernel for each order.

A fork copies only the thread that forks. So no other thread, no ZeroMQ context and no team of OpenMP may exist when it forks: the
thread pools of the libraries start none at import, and the process counts its threads before each fork.

Run as ``python -m boostlab.execution.template_process FD SOCKET [MODULE…]`` by :mod:`boostlab.execution.template`. FD is its
end of a pair of sockets. SOCKET is the path of a socket where its kernels may order further ones; it lies in the folder of the
owner's sockets, which the process removes if its owner was killed. A message brings a descriptor for each kernel, the *channel*,
and up to two more for its output. The forked process reads its order from the channel, and answers with its process id; the
template adds the exit status. The process id stays taken until the one who ordered the kernel closes the other end of the
channel, which also kills a kernel that still runs. When the owner ends, so do all.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boostlab.execution.forking import ONE_THREAD, Orderers, fork_alone, note_origin
from boostlab.execution.kernel_process import Order, obey, prepare_path, quietly
from boostlab.execution.preloading import AS_TEMPLATE, Loaded, keep_memory, load_all, start_anew
from boostlab.execution.socket_folder import remove_abandoned, remove_after_owner
from boostlab.notebook.session import TRIAL_VARIABLE

PR_SET_PDEATHSIG = 1


@dataclass
class _Kernel:
    """A forked kernel, as the template knows it."""

    pid: int
    channel: int  # the descriptor of the template's end; -1 once it is closed
    watch: int  # the process's descriptor, readable at its end

    def kill(self) -> None:
        """Kill what is left of the process and its children; an unreaped process keeps the number of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # it may not have its own group yet
            os.kill(self.pid, signal.SIGKILL)


class Template:
    """The loop that forks; :meth:`serve` returns twice, as a fork does."""

    def __init__(self, orderers: Orderers) -> None:
        self._orderers = orderers
        self.was_told = False  #: whether the owner has said that this is the end: it was not killed
        self._kernels: dict[int, _Kernel] = {}  # by each descriptor that is watched
        self._poller = select.poll()
        self._poller.register(orderers, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """Fork kernels until the owner ends. Return the channel in a forked process, and None at the end in the template."""
        while True:
            for descriptor, _event in self._poller.poll():
                if descriptor != self._orderers.fileno():
                    self._attend(descriptor)
                    continue
                received = self._orderers.receive()
                if received is None:
                    continue
                message, descriptors = received
                if not descriptors:
                    self.was_told = bool(message)
                    self._kill_all()
                    return None
                channel, *outputs = descriptors
                if self._fork(channel, outputs):
                    return socket.socket(fileno=channel)

    def _fork(self, channel: int, outputs: list[int]) -> bool:
        """Fork, and tell whether this is the forked process."""
        try:
            pid = fork_alone()
        except OSError as error:
            _send(channel, {"error": error.strerror})
            _close(channel, *outputs)
            return False
        if pid == 0:
            self._orderers.close()
            _close(*self._kernels)
            _take_outputs(outputs)
            return True
        _close(*outputs)
        kernel = _Kernel(pid, channel, os.pidfd_open(pid))
        self._kernels |= {channel: kernel, kernel.watch: kernel}
        self._poller.register(channel, select.POLLRDHUP)
        self._poller.register(kernel.watch, select.POLLIN)
        return False

    def _attend(self, descriptor: int) -> None:
        """Act on the end of a kernel, or on the end of its owner's interest."""
        kernel = self._kernels.pop(descriptor)
        self._poller.unregister(descriptor)
        if descriptor == kernel.watch:
            ended = os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            kernel.kill()
            if kernel.channel != -1:
                _send(kernel.channel, {"status": ended.si_status * (1 if ended.si_code == os.CLD_EXITED else -1)})
            kernel.watch = _close(descriptor)
        else:
            if kernel.watch != -1:
                kernel.kill()
            kernel.channel = _close(descriptor)
        if kernel.watch == kernel.channel == -1:
            os.waitpid(kernel.pid, 0)

    def _kill_all(self) -> None:
        for kernel in self._kernels.values():
            kernel.kill()
        for pid in {kernel.pid for kernel in self._kernels.values()}:
            os.waitpid(pid, 0)


def main(descriptor: int, place: Path, modules: list[str]) -> None:
    """Load everything, say so, and fork kernels; a forked process becomes a kernel."""
    os.environ.update(ONE_THREAD | AS_TEMPLATE)
    prepare_path()
    with quietly():
        loaded = load_all(modules)
    gc.collect()
    gc.freeze()
    orderers = Orderers(descriptor, place)
    orderers.tell_ready()
    process, template = os.getpid(), Template(orderers)
    channel = template.serve()
    if channel is not None:
        _become_kernel(channel, place, template=process, loaded=loaded)
    else:
        if not template.was_told:
            remove_after_owner(place.parent)
        remove_abandoned()  # such as those of kernels that have started kernels


def _become_kernel(channel: socket.socket, place: Path, *, template: int, loaded: Loaded) -> None:
    """Turn this forked process into the kernel of the order in the channel."""
    from boostlab.execution.lab_kernel import LabKernel, LabKernelApp

    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != template:  # it died before
        os._exit(1)
    with channel, channel.makefile() as lines:
        order = Order.from_json(lines.readline())
        _send(channel.fileno(), {"pid": os.getpid()})
    start_anew(loaded, order.env)
    if TRIAL_VARIABLE in order.env:
        keep_memory()
    LabKernel.own_modules = loaded.own_modules
    obey(replace(order, env={**order.env, **loaded.env}))
    note_origin(place)
    LabKernelApp.launch_instance()


def _take_outputs(outputs: list[int]) -> None:
    """Make descriptors the process's stdout and stderr; those that are missing are null devices, and so is stdin."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for target, source in enumerate([nowhere, *outputs, nowhere, nowhere][:3]):
        os.dup2(source, target)
    _close(nowhere, *outputs)


def _send(channel: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the owner has closed its end
        os.write(channel, json.dumps(message).encode() + b"\n")


def _close(*descriptors: int) -> int:
    """Close descriptors and return -1, the mark of a closed one."""
    for descriptor in descriptors:
        os.close(descriptor)
    return -1


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
