"""The process that becomes a kernel: it imports while it waits, then runs ipykernel in the environment it is given.

What a module prints while it is imported ahead is not the notebook's output, and is dropped.

Run as ``python -m boostlab.execution.kernel_process MODULE…``. It reads one line of JSON from its standard input, with the
kernel's arguments, environment and working directory; an empty input means that no kernel is wanted after all.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout

from boostlab.gc_pause import uncollected


def main(modules: list[str]) -> None:
    """Import `modules`, wait for the order, become the kernel."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel does, but in time
    if sys.path[0] in ("", os.getcwd()):  # noqa: PTH109  # `-m` puts it there; a file beside the notebook shadows no package here
        del sys.path[0]
    with uncollected(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
        for module in ["ipykernel.kernelapp", *modules]:
            with contextlib.suppress(Exception):  # the notebook's own import shows what is wrong
                importlib.import_module(module)
    gc.freeze()  # what is loaded by now stays: no later collection needs to walk it
    line = sys.stdin.readline()
    if not line:
        return
    order = json.loads(line)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["ipykernel_launcher", *order["arguments"]]
    runpy.run_module("ipykernel_launcher", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
