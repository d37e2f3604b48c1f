"""The process that becomes a kernel: it imports packages, waits for its order, and then runs ipykernel.

What a module prints at import is dropped: it is not output of the notebook.

Run as ``python -m boostlab.execution.kernel_process MODULE…``. It reads one line of JSON from its standard input, with the
kernel's arguments, environment and working directory. An empty input means that no kernel is needed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pkgutil
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout

from boostlab.gc_pause import uncollected


def main(modules: list[str]) -> None:
    """Import `modules`, wait for the order, become the kernel."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # ipykernel sets it after the import
    if sys.path[0] in ("", os.getcwd()):  # noqa: PTH109  # `-m` puts it there: a file next to the notebook would shadow a package
        del sys.path[0]
    with uncollected(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
        for module in ["ipykernel.kernelapp", *modules]:
            with contextlib.suppress(Exception):  # the notebook's own import shows the error
                pkgutil.resolve_name(module)  # a lazy package loads a name at its first use
    gc.freeze()  # loaded modules stay: no later collection needs to visit them
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
