"""The process that becomes a kernel: it imports while it waits, then runs ipykernel in the environment it is given.

Run as ``python -m boostlab.kernel_process MODULE…``. It reads one line of JSON from its standard input, with the
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

from boostlab.startup import uncollected


def main(modules: list[str]) -> None:
    """Import `modules`, wait for the order, become the kernel."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel does, but in time
    with uncollected():
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
