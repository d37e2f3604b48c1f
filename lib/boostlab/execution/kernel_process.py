"""The process that becomes a kernel: it imports packages, waits for its order, and then runs ipykernel.

What a module prints at import is dropped: it is not output of the notebook.

Run as ``python -m boostlab.execution.kernel_process MODULE…``. It reads one line of JSON from its standard input, with the
kernel's arguments, environment and working directory. An empty input means that no kernel is needed.
:mod:`boostlab.execution.template_process` forks such processes.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import pkgutil
import runpy
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass

from boostlab.gc_pause import uncollected

INTERRUPTED = "KeyboardInterrupt caught in kernel"  # as ipykernel logs it between cells


@dataclass(frozen=True)
class Order:
    """A kernel to run: what the process needs to become it."""

    arguments: tuple[str, ...]  #: of ipykernel, such as the connection file
    env: Mapping[str, str]  #: the whole environment
    cwd: str  #: working directory

    def to_json(self) -> str:
        """Return the order as one line."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, line: str) -> Order:
        """Return the order of a line."""
        values = json.loads(line)
        return cls(tuple(values["arguments"]), values["env"], values["cwd"])


def main(modules: list[str]) -> None:
    """Import `modules`, wait for the order, become the kernel."""
    prepare_path()
    with quietly():
        load(["ipykernel.kernelapp", *modules])
    gc.freeze()  # loaded modules stay: no later collection needs to visit them
    line = sys.stdin.readline()
    if not line:
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    obey(Order.from_json(line))
    runpy.run_module("ipykernel_launcher", run_name="__main__")


def prepare_path() -> None:
    """Remove the working directory from the import path, and choose Matplotlib's backend as ipykernel does."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # ipykernel sets it after the import
    if sys.path[0] in ("", os.getcwd()):  # noqa: PTH109  # `-m` puts it there: a file next to the notebook would shadow a package
        del sys.path[0]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Drop what a block that imports prints, and collect no garbage in it."""
    with uncollected(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
        yield


def load(modules: Iterable[str]) -> None:
    """Import modules, and names of lazy packages; the notebook's own import shows the error of one that cannot be imported."""
    for module in modules:
        with contextlib.suppress(Exception):
            pkgutil.resolve_name(module)  # a lazy package loads a name at its first use


def obey(order: Order) -> None:
    """Give this process the environment, the working directory and the arguments of the order, and drop an error of its end."""
    os.environ.clear()
    os.environ.update(order.env)
    os.chdir(order.cwd)
    sys.argv = ["ipykernel_launcher", *order.arguments]
    for name in ("tornado.general", "IPKernelApp", "LabKernelApp"):
        logging.getLogger(name).addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Return False for an error that a kernel may log when it ends.

    It writes to a socket that is closed already, or gets the interrupt that Jupyter sends before it asks a kernel to end.
    """
    error = record.exc_info[1] if record.exc_info else None
    return getattr(error, "errno", None) != errno.ENOTSOCK and not record.getMessage().startswith(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
