"""What a template process loads before it forks kernels, and how: without a second thread, and with the least memory to copy."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boostlab.execution.kernel_process import load

AS_TEMPLATE = {
    "JPY_PARENT_PID": "1",  # ipykernel reads it at import: no thread that polls for the death of the parent
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning on frozen modules
}
FIRST_NUMBER = re.compile(r"\s*\+?([0-9]+)")  # of a list, such as 4,2
THREAD_VARIABLES = {  # of each kind of library, in the order in which it reads them
    "blas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS",),
}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KERNEL_MODULES = (
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
    "sklearn.datasets",
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


@dataclass(frozen=True)
class Loaded:
    """What a forked process has to know about what was loaded."""

    own_modules: frozenset[str]  #: names of the modules that ipykernel needs
    pools: tuple[Any, ...]  #: threadpoolctl's controllers of OpenMP and of linear algebra
    env: Mapping[str, str] = field(default_factory=dict)  #: variables that packages have set


def load_all(modules: Iterable[str]) -> Loaded:
    """Import everything that a kernel of the lab needs, `modules` besides, and do what libraries leave for their first use.

    The variables of ONE_THREAD must be set.
    """
    from threadpoolctl import ThreadpoolController

    before = dict(os.environ)
    import boostlab.execution.lab_kernel  # noqa: F401  # its error is shown: there is no kernel without it

    load(KERNEL_MODULES)
    own_modules = frozenset(sys.modules)
    load(LAB_MODULES)
    packages = ["boostlab", *(f"boostlab.{name}" for name in LAB_PACKAGES)]
    load(packages)
    load(f"{name}.{public}" for name in packages for public in sys.modules[name].__all__)
    load(modules)
    _draw_once()
    _make_once()
    _touch_modules()
    env = {name: value for name, value in os.environ.items() if before.get(name) != value}
    return Loaded(own_modules, tuple(ThreadpoolController().lib_controllers), env)


def count_threads(env: Mapping[str, str], names: Iterable[str]) -> int:
    """Return the number of threads that a library takes in this environment, which reads the variables of these names."""
    for name in names:
        found = FIRST_NUMBER.match(env.get(name, ""))
        if found and int(found[1]):
            return int(found[1])
    return len(os.sched_getaffinity(0))


def start_anew(loaded: Loaded, env: Mapping[str, str]) -> None:
    """Give a forked process its own random numbers, and libraries the threads that they have in an ordinary process."""
    import numpy as np

    np.random.seed()  # Python seeds its own generator at each fork
    for library in loaded.pools:
        library.set_num_threads(count_threads(env, THREAD_VARIABLES.get(library.user_api, ())))


def _draw_once() -> None:
    """Draw a figure as a notebook shows it, apart from pyplot's state: that loads fonts, formats and templates."""
    import numpy as np

    from boostlab.display.figures import make_mosaic, shorten_label
    from boostlab.display.histogram import draw_histogram
    from boostlab.display.html import preload
    from boostlab.display.pictures import draw_picture

    figure, axes = make_mosaic([["one"]], height_in=2.0)
    draw_histogram(axes["one"], np.array([0.0, 1.0, 1.0]), None)
    axes["one"].set_title("$x$")
    axes["one"].set_xlabel(shorten_label("x"))
    draw_picture(figure)
    preload()


def _make_once() -> None:
    """Make what each kernel makes when it starts and what begins no thread: classes fill their caches, OpenSSL starts."""
    from jupyter_client.session import Session

    from boostlab.execution.lab_kernel import LabKernelApp

    LabKernelApp()
    Session(key=b"template").sign([b""])


def _touch_modules() -> None:
    """Load what is loaded at the first look at it, and put the names of the modules next to each other.

    IPython looks at all modules when it starts, and keeps their names. The counts of references lie in the pages of the names,
    and the kernel gets a copy of each such page: a few instead of a thousand.
    """
    for module in list(sys.modules.values()):
        getattr(module, "__file__", None)
    for name in list(sys.modules):
        sys.modules[name.encode().decode()] = sys.modules.pop(name)


def keep_memory() -> None:
    """Let the C library keep memory that was freed: new pages for the pixels of each figure cost a twentieth of a trial."""
    with contextlib.suppress(AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 * 1024**2)
        mallopt(M_TRIM_THRESHOLD, 128 * 1024**2)
