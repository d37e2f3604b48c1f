"""The kernel that a forked process runs: ipykernel's own application and kernel, in a process that has loaded more than they."""

from __future__ import annotations

import re
import sys
from collections import UserDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from traitlets import Type
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

TRAIT = re.compile(r"--(\w+)\.(\w+)=([^~]*)", re.DOTALL)  # traitlets expands ~


class LabKernel(IPythonKernel):
    """ipykernel's kernel in a process that has loaded more.

    ipykernel takes all modules that are loaded when it starts for its own: the debugger does not stop in them. It also visits
    each of them, which makes a private copy of their memory.
    """

    own_modules: ClassVar[frozenset[str]] = frozenset()  # what ipykernel needs; empty: everything that is loaded

    def __init__(self, **options: Any) -> None:
        with _showing(self.own_modules or frozenset(sys.modules)):
            super().__init__(**options)


class LabKernelApp(IPKernelApp):
    """ipykernel's application; it reads Jupyter's arguments without traitlets' parser, which takes a fifth of a start."""

    kernel_class = Type(LabKernel, klass=Kernel).tag(config=True)

    def parse_command_line(self, argv: Sequence[str] | None = None) -> None:
        """Read the arguments: plain ones here, any others by the parser."""
        given = list(sys.argv[1:] if argv is None else argv)
        config = read_arguments(given)
        if config is None:
            super().parse_command_line(argv)
            return
        self.argv, self.cli_config = given, config
        self.update_config(config)


def read_arguments(given: Sequence[str]) -> Config | None:
    """Return the configuration of arguments such as ``-f FILE`` and ``--Class.trait=value``; None if there are others.

    Examples
    --------
    >>> read_arguments(["-f", "kernel.json", "--HistoryManager.hist_file=:memory:"])
    {'IPKernelApp': {'connection_file': 'kernel.json'}, 'HistoryManager': {'hist_file': DeferredConfigString(':memory:')}}
    >>> read_arguments(["--debug"])
    """
    config = Config()
    left = list(given)
    while left:
        argument = left.pop(0)
        found = TRAIT.fullmatch(argument)
        if argument == "-f" and left:
            config.IPKernelApp.connection_file = left.pop(0)
        elif found:
            setattr(config[found[1]], found[2], DeferredConfigString(found[3]))
        else:
            return None
    return config


class _View(UserDict[str, ModuleType]):
    """The loaded modules; a copy has only some of them."""

    def __init__(self, modules: dict[str, ModuleType], names: frozenset[str]) -> None:
        super().__init__()
        self.data = modules
        self.names = names

    def copy(self) -> dict[str, ModuleType]:  # type: ignore[override]
        return {name: self.data[name] for name in self.names if name in self.data}


@contextmanager
def _showing(names: frozenset[str]) -> Iterator[None]:
    """Show only the modules of these names to a block that copies ``sys.modules``; imports see all."""
    modules = sys.modules
    sys.modules = _View(modules, names)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules = modules
