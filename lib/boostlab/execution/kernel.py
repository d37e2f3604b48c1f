"""Warm kernels: a process loads the notebook's packages while the run is being opened, then becomes the kernel.

Importing XGBoost, scikit-learn and Matplotlib takes longer than a small training. The process is that of
:mod:`boostlab.execution.kernel_process`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from boostlab.errors import LabError, suggest
from boostlab.execution.kernel_process import Order
from boostlab.execution.socket_folder import SocketFolder

LAUNCHER = ["-m", "ipykernel_launcher"]
SOCKET_NAME = "k"  # Jupyter adds -1 to -5
SOCKETS_TIMEOUT_S = 10  # then its client waits
POLL_S = 0.002
WARM_PACKAGES = ("IPython", "boostlab", "matplotlib", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "sklearn", "xgboost")
CHANGES_IMPORTS = re.compile(r"environ|putenv|sys\.path|%env|%set_env")
OWN_NAMES = ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}", sys.executable)


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel on this machine, in the warm process if there is one."""

    warm: subprocess.Popen[bytes] | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Turn the warm process into the kernel that `cmd` describes; without one, start a kernel as usual."""
        process, self.warm = self.warm, None
        if process is None or process.poll() is not None:
            return await super().launch_kernel(cmd, **kwargs)
        assert process.stdin is not None
        order = make_order(cmd, **kwargs)
        try:
            with process.stdin as orders:
                orders.write(order.to_json().encode())
        except BrokenPipeError:  # it has died just now
            return await super().launch_kernel(cmd, **kwargs)
        self.process, self.pid, self.pgid = process, process.pid, os.getpgid(process.pid)
        self.cwd = order.cwd
        await wait_for_sockets(self.connection_info, process)
        return self.connection_info


class WarmKernel:
    """The kernel of one notebook, in preparation: the modules that its cells import are imported ahead.

    Only a Python kernel of this environment is warmed up; any other starts as usual. The warmed one talks through sockets in a
    folder of its own: a port could be taken by another process before the kernel opens it.

    Raises
    ------
    LabError
        If the kernelspec does not exist.
    """

    def __init__(self, modules: Iterable[str], kernel_name: str) -> None:
        self.name = kernel_name
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: SocketFolder | None = None
        spec = find_spec(kernel_name)
        if spec.argv[0] in OWN_NAMES and spec.argv[-4:-2] == LAUNCHER:
            module = ["-m", "boostlab.execution.kernel_process"]
            command = [sys.executable, *spec.argv[1:-4], *module, *modules]
            env = os.environ | {"JPY_PARENT_PID": str(os.getpid())}  # ipykernel reads it at import
            self._folder = SocketFolder()
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, start_new_session=True)

    def manager(self) -> AsyncKernelManager:
        """Return a kernel manager that will use the warm process for its kernel."""
        if self._folder is None:
            return AsyncKernelManager(kernel_name=self.name, transport_encryption="auto")
        manager = AsyncKernelManager(kernel_name=self.name, **describe_sockets(self._folder.path))
        manager.provisioner = WarmProvisioner(kernel_id="", kernel_spec=manager.kernel_spec, parent=manager)
        manager.provisioner.warm = self._process
        return manager

    def kill(self) -> None:
        """Kill the process and its children, whether or not it became a kernel; a signal handler may call it."""
        if self._process is not None and self._process.returncode is None:  # not reaped: the process id is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def discard(self) -> None:
        """Kill the process and its children, close the pipe to it, wait for its end, and remove the sockets."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError), self._process:
                self.kill()
        if self._folder is not None:
            self._folder.remove()

    def describe_death(self) -> str:
        """Return how the kernel died, as far as the exit status tells."""
        return describe_status(None if self._process is None else self._process.poll())


def describe_sockets(folder: Path) -> dict[str, str]:
    """Return the settings of a kernel manager whose kernel has its sockets in a folder that is closed to other users."""
    return {
        "transport": "ipc",
        "ip": str(folder / SOCKET_NAME),
        "connection_file": str(folder / "connection.json"),
        "transport_encryption": "disabled",
    }


async def wait_for_sockets(info: Mapping[str, Any], process: Any) -> None:
    """Wait until a kernel's Unix sockets are there: a client that connects before tries again only after 100 ms."""
    last = Path(f"{info['ip']}-{info['hb_port']}")  # ipykernel opens it last
    deadline = time.monotonic() + SOCKETS_TIMEOUT_S
    while info["transport"] == "ipc" and not last.exists() and process.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)


def make_order(command: list[str], *, env: Mapping[str, str], cwd: Any = None, **_: Any) -> Order:
    """Return the order for a kernel that Jupyter would start with `command`, in this environment and working directory."""
    arguments = command[command.index(LAUNCHER[1]) + 1 :]
    return Order(tuple(arguments), {**env, "JPY_PARENT_PID": str(os.getpid())}, str(cwd or Path.cwd()))


def describe_status(code: int | None) -> str:
    """Return how a kernel died, from its exit status: negative for a signal, None if it is not known."""
    if code == -signal.SIGKILL:
        return "The kernel died: it was killed (SIGKILL), as the system does when memory runs out."
    if code is not None and code < 0:
        return f"The kernel died of {signal.Signals(-code).name}."
    return "The kernel died." if code is None else f"The kernel died: it exited with status {code}."


def find_modules(notebook: Mapping[str, Any]) -> list[str]:
    """Return the modules that a notebook imports and that can be imported ahead, each once."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if any(CHANGES_IMPORTS.search(source) for source in sources):
        return []  # packages read the environment and the import path when they are loaded
    modules: list[str] = []
    for source in sources:
        with contextlib.suppress(SyntaxError):  # a magic command, or an error that the kernel will report
            for statement in ast.parse(source).body:
                if isinstance(statement, ast.Import):
                    modules += [alias.name for alias in statement.names]
                elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                    modules += [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    ahead = [f"{module}.ahead" for module in dict.fromkeys(modules) if module.startswith("boostlab.")]  # some have one
    return [module for module in dict.fromkeys(modules + ahead) if module.partition(".")[0] in WARM_PACKAGES]


def find_spec(kernel_name: str) -> KernelSpec:
    """Return an installed kernelspec; LabError if there is none of this name."""
    specs = KernelSpecManager()
    try:
        return specs.get_kernel_spec(kernel_name)
    except NoSuchKernel:
        known = list(specs.find_kernel_specs())
        raise LabError(
            f"No Jupyter kernel {kernel_name!r}.{suggest(kernel_name, known)} Installed: {', '.join(known)}."
        ) from None
