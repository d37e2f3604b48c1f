"""The recipes for clusters in ``docs/guides/sweep.md``, with real servers on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.support.executions import Papermill, Write
from tests.support.paths import PROJECT
from tests.support.servers import free_port
from tests.support.ssh import SSHD, serve_ssh
from tests.support.stores import all_runs
from tests.support.sweep_notebooks import SWEEP, write_trial
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweep")]

GUIDE = (PROJECT / "docs" / "guides" / "sweep.md").read_text()
DASK = str(Path(sys.executable).with_name("dask"))
TLS = "DASK_DISTRIBUTED__COMM__TLS__"
Look = Callable[..., Any]


def read_recipe(heading: str, language: str) -> list[str]:
    """Return the blocks of a language below a heading of the guide."""
    section = GUIDE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found


def adapt(text: str, changes: Mapping[str, object]) -> str:
    """Return a recipe with this machine's values in the place of its own."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def sweep(papermill: Papermill, settings: dict[str, Any], *options: object, **env: str) -> None:
    given = [word for name, value in settings.items() for word in ("-y", f"{name}: {json.dumps(value)}")]
    done = papermill(SWEEP, "out.ipynb", "-p", "n_trials", 4, *given, *options, **env)
    assert done.returncode == 0, done.stderr


def read_trials(client: Any) -> list[Any]:
    """Return the runs of the trials, all of which must be whole."""
    trials = [run for run in all_runs(client) if "boostlab.trial" in run.data.tags]
    assert sorted(run.data.tags["boostlab.trial"] for run in trials) == ["0", "1", "2", "3"]
    assert {run.info.status for run in trials} == {"FINISHED"}
    return trials


@contextmanager
def running(*command: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the context ends."""
    with (
        log.open("wb") as out,
        subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.skipif(not SSHD, reason="no sshd here: install the system's package `openssh-server` to start workers over SSH")
def test_a_sweep_runs_on_workers_that_were_started_over_ssh(
    write_notebook: Write, papermill: Papermill, store: str, look: Look, tmp_path: Path
) -> None:
    (recipe,) = read_recipe("SSH", "python")
    with serve_ssh(tmp_path / "ssh") as server, ExitStack() as stack:
        login = f'"port": {server.port}, "client_keys": [{str(server.key)!r}], "known_hosts": {str(server.known_hosts)!r}'
        changes: dict[str, object] = {
            '["head", "node1", "node2"]': ["127.0.0.1"] * 3,
            '"username": "lab"': f'"username": "{server.user}"',
            '"port": 22': login,
            '"nthreads": 8': '"nthreads": 1',
            "/shared/lab/.venv/bin/python": sys.executable,
        }
        (tmp_path / "cluster.py").write_text(adapt(recipe, changes))
        log = tmp_path / "cluster.log"
        process = stack.enter_context(running(sys.executable, tmp_path / "cluster.py", log=log))
        found = wait_until(lambda: re.search(r"^tcp://\S+$", log.read_text(), re.MULTILINE) or process.poll() is not None)
        assert isinstance(found, re.Match), log.read_text()
        settings = write_trial(write_notebook, tmp_path) | {"scheduler": found[0], "tracking_uri": store}
        sweep(papermill, settings)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait()
    workers = {run.data.tags["boostlab.worker"] for run in read_trials(look())}
    assert all(re.search(r" \S", name) for name in workers)


def test_a_sweep_runs_on_a_cluster_with_tls_and_is_refused_without_a_certificate(
    write_notebook: Write, papermill: Papermill, store: str, look: Look, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("node", "me"):
        issued = authority.issue_cert("127.0.0.1")
        (tmp_path / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    port = free_port()
    files = {name: tmp_path / name for name in ("ca.pem", "node.pem", "node.key")}
    commands, _ = read_recipe("TLS", "bash")
    start, join = adapt(commands, {**files, "HOST:8786": f"127.0.0.1:{port}", "--nthreads 8": "--nthreads 2"}).splitlines()
    own = [f"--host 127.0.0.1 --port {port} --no-dashboard", f"--host 127.0.0.1 --no-dashboard --local-directory {tmp_path}"]
    settings = write_trial(write_notebook, tmp_path) | {"scheduler": f"tls://127.0.0.1:{port}", "tracking_uri": store}
    with ExitStack() as stack:
        for name, command, more in zip(("scheduler", "worker"), (start, join), own, strict=True):
            words = f"{command} {more}".split()
            assert words[0] == "dask"
            stack.enter_context(running(DASK, *words[1:], log=tmp_path / f"{name}.log"))
            wait_until(lambda: f"127.0.0.1:{port}" in (tmp_path / "scheduler.log").read_text())
        given = [word for name, value in settings.items() for word in ("-y", f"{name}: {json.dumps(value)}")]
        refused = papermill(SWEEP, "refused.ipynb", *given)
        assert refused.returncode == 1 and "cannot be reached" in refused.stderr and "Traceback" not in refused.stderr
        certificate = {"CA_FILE": "ca.pem", "CLIENT__CERT": "me.pem", "CLIENT__KEY": "me.key"}
        assert all(f"{TLS}{name}={file}" in GUIDE for name, file in certificate.items())
        sweep(papermill, settings, **{f"{TLS}{name}": str(tmp_path / file) for name, file in certificate.items()})
    read_trials(look())
