"""Dask clusters of separately started processes, for tests; in network namespaces where that is possible."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client
from tests.support.servers import free_port, listens
from tests.support.waiting import TIMEOUT_S, wait_until

DASK = [sys.executable, "-m", "dask"]
NETWORK = "10.203.77"  # of the bridge between the namespaces
EAGER = "import boostlab.sweep.worker\nboostlab.sweep.worker.IDLE_S = 1.0\n"


class Cluster:
    """A scheduler and workers, each a process with a group of its own."""

    def __init__(self, folder: Path, env: dict[str, str], host: str = "127.0.0.1", *, dashboard: bool = False) -> None:
        self._dashboard = ["--dashboard-address", f"{host}:0"] if dashboard else ["--no-dashboard"]
        self._folder, self._env, self._host = folder, env | {"PYTHONPATH": ""}, host
        self._port = free_port()
        self.address = f"tcp://{host}:{self._port}"
        self._started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler, also again after its death."""
        self.scheduler = self._start([*DASK, "scheduler", "--host", self._host, "--port", str(self._port), *self._dashboard])
        wait_until(lambda: listens(self._host, self._port))
        return self.scheduler

    def start_worker(
        self, *, before: Sequence[str] = (), nthreads: int = 2, options: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker; `before` is the beginning of its command, such as that of a namespace, and `options` are Dask's."""
        preload = self._folder / "eager.py"
        preload.write_text(EAGER)
        options = [*options, "--nthreads", str(nthreads), "--no-dashboard", "--local-directory", str(self._folder / "workers")]
        options += ["--preload", str(preload), "--death-timeout", "20"]
        return self._start([*before, *DASK, "worker", self.address, *options], **env)

    def wait_for_workers(self, count: int) -> None:
        """Wait until the scheduler knows so many workers."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=TIMEOUT_S)

    def wait_for_task(self, start: str) -> None:
        """Wait until a worker runs a task whose key starts so."""
        with Client(self.address, set_as_default=False) as client:
            wait_until(lambda: any(key.startswith(start) for keys in client.processing().values() for key in map(str, keys)))

    def _start(self, command: list[str], **env: str) -> subprocess.Popen[bytes]:
        log = (self._folder / "cluster.log").open("ab")
        with log:
            process = subprocess.Popen(
                command, cwd=self._folder, env=self._env | env, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill all processes."""
        for process in self._started:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with the processes that it has started in its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def network_namespaces(*names: str) -> Iterator[list[list[str]]]:
    """Make network namespaces that reach each other and this one; yield the beginning of a command in each."""
    if os.geteuid() != 0 or _call("ip", "netns", "add", "bl-probe"):
        pytest.skip("no network namespaces here: they need root, and the system's package `iproute2`")
    _call("ip", "netns", "del", "bl-probe")
    bridge = f"bl{os.getpid()}"
    try:
        _check("ip", "link", "add", bridge, "type", "bridge")
        _check("ip", "addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        _check("ip", "link", "set", bridge, "up")
        for number, name in enumerate(names, start=2):
            outside, inside = f"{bridge}-{number}", f"{bridge}i{number}"
            _check("ip", "netns", "add", name)
            _check("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
            _check("ip", "link", "set", outside, "master", bridge, "up")
            _check("ip", "link", "set", inside, "netns", name)
            _check("ip", "-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", inside)
            _check("ip", "-n", name, "link", "set", inside, "up")
            _check("ip", "-n", name, "link", "set", "lo", "up")
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            _call("ip", "netns", "del", name)
        _call("ip", "link", "del", bridge)


def _call(*command: str) -> int:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 1


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network of namespaces here: `{' '.join(command)}`: {done.stderr.strip()}")
