"""The template process: it imports the lab's packages once, and forks a kernel for each order.

A fork copies only the thread that forks. So no other thread, no ZeroMQ context and no team of OpenMP may exist when it forks: the
thread pools of the libraries start none at import, and the process counts its threads before each fork.

Run as ``python -m boostlab.execution.template_process FD [MODULE…]`` by :mod:`boostlab.execution.template`. FD is its end of a
pair of sockets. A message on it brings a descriptor for each kernel, the *channel*, and up to two more for its output. The forked
process reads its order from the channel, and answers with its process id; the template adds the exit status. The process id stays
taken until the owner closes its end of the channel, which also kills a kernel that still runs. When the owner ends, so do all.
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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boostlab.execution.kernel_process import Order, load, obey, prepare_path, quietly

MOST_DESCRIPTORS = 3  # of one message: the channel, stdout, stderr
PR_SET_PDEATHSIG = 1
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")  # in the order in which OpenBLAS reads them
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",  # OpenBLAS starts its threads at import; the kernel gets them after the fork
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # jemalloc in Arrow, which is not its default
}
AS_TEMPLATE = {
    "JPY_PARENT_PID": "1",  # ipykernel reads it at import: no thread that polls for the death of the parent
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning on frozen modules
}
KERNEL_MODULES = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "sqlite3",
    "tornado.platform.asyncio",
)
LAB_MODULES = (
    "numpy",
    "pandas",
    "pyarrow.csv",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.metrics",
    "sklearn.model_selection",
    "xgboost",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "seaborn",
    "nbformat",
    "psutil",
)
LAB_PACKAGES = ("card", "comparison", "data", "display", "evaluation", "notebook", "registry", "scoring", "tracking", "training")


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

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._kernels: dict[int, _Kernel] = {}  # by each descriptor that is watched
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """Fork kernels until the owner ends. Return the channel in a forked process, and None at the end in the template."""
        while True:
            for descriptor, _event in self._poller.poll():
                if descriptor != self._control.fileno():
                    self._attend(descriptor)
                    continue
                _, descriptors, _, _ = socket.recv_fds(self._control, 16, MOST_DESCRIPTORS)
                if not descriptors:
                    return self._end()
                channel, *outputs = descriptors
                if self._fork(channel, outputs):
                    return socket.socket(fileno=channel)

    def _fork(self, channel: int, outputs: list[int]) -> bool:
        """Fork, and tell whether this is the forked process."""
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            _send(channel, {"error": f"The template process has {threads} threads, and only a process of one can be forked."})
            _close(channel, *outputs)
            return False
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes
            _send(channel, {"error": f"The system refuses a new process: {error.strerror}."})
            _close(channel, *outputs)
            return False
        if pid == 0:
            _close(self._control.detach(), *(descriptor for descriptor in self._kernels))
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
        kernel = self._kernels.pop(descriptor, None)
        if kernel is None:  # its other descriptor came in the same round
            return
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

    def _end(self) -> None:
        for kernel in self._kernels.values():
            kernel.kill()


def main(descriptor: int, modules: list[str]) -> None:
    """Load everything, say so, and fork kernels; a forked process becomes a kernel."""
    threads = _count_blas_threads(os.environ)
    os.environ.update(ONE_THREAD | AS_TEMPLATE)
    prepare_path()
    from threadpoolctl import ThreadpoolController

    control = socket.socket(fileno=descriptor)
    with quietly():
        own_modules = _load_all(modules)
        _gather_names()
        blas = [] if threads == 1 else [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    gc.collect()
    gc.freeze()
    control.send(b"ready")
    template = os.getpid()
    channel = Template(control).serve()
    if channel is not None:
        _become(channel, template=template, blas=blas, threads=threads, own_modules=own_modules)


def _load_all(modules: list[str]) -> frozenset[str]:
    """Import everything that a kernel of the lab needs; return the names of the modules that ipykernel needs."""
    import boostlab.execution.lab_kernel  # noqa: F401  # its error is shown: there is no kernel without it

    load(KERNEL_MODULES)
    own_modules = frozenset(sys.modules)
    load(LAB_MODULES)
    packages = ["boostlab", *(f"boostlab.{name}" for name in LAB_PACKAGES)]
    load(packages)
    load(f"{name}.{public}" for name in packages for public in sys.modules[name].__all__)
    load(modules)
    _use_once()
    return own_modules


def _use_once() -> None:
    """Do the work that libraries leave for their first use."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, 1], label="$x$")
    FigureCanvasAgg(figure).print_png(io.BytesIO())  # it loads the fonts
    for module in list(sys.modules.values()):
        getattr(module, "__file__", None)  # some load at the first look at them


def _gather_names() -> None:
    """Put the names of the loaded modules next to each other.

    IPython collects them when it starts. The counts of their references are in the pages of the names, so the kernel has a copy
    of each such page: a few instead of a thousand.
    """
    for name in list(sys.modules):
        sys.modules[name.encode().decode()] = sys.modules.pop(name)


def _become(channel: socket.socket, *, template: int, blas: list[Any], threads: int, own_modules: frozenset[str]) -> None:
    """Turn this forked process into the kernel of the order in the channel."""
    from boostlab.execution.lab_kernel import LabKernel, LabKernelApp

    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != template:  # it died before
        os._exit(1)
    with channel, channel.makefile() as lines:
        order = Order.from_json(lines.readline())
        _send(channel.fileno(), {"pid": os.getpid()})
    _start_anew(blas, threads)
    LabKernel.own_modules = own_modules
    obey(order)
    LabKernelApp.launch_instance()


def _start_anew(blas: list[Any], threads: int) -> None:
    """Give this process its own random numbers, and linear algebra as many threads as it has in an ordinary process."""
    import numpy as np

    np.random.seed()  # noqa: NPY002  # Python's own generator is seeded at each fork
    for library in blas:
        library.set_num_threads(threads)


def _count_blas_threads(env: Mapping[str, str]) -> int:
    """Return the number of threads that OpenBLAS takes in this environment."""
    for name in BLAS_VARIABLES:
        if env.get(name, "").isdigit() and int(env[name]):
            return int(env[name])
    return len(os.sched_getaffinity(0))


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
    main(int(sys.argv[1]), sys.argv[2:])
