"""What a diagnosis finds on this machine, where parts of it do not work."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.stores.conftest import Open
from tests.support.runs import make_facts

from boostlab.cli import main
from boostlab.stores import diagnose
from boostlab.stores.diagnosis import Check
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import find_store


def check(address: str, tmp_path: Path) -> dict[str, Check]:
    return {each.part: each for each in diagnose(find_store(address, project=tmp_path))}


def test_a_sound_machine_works(store: str, tmp_path: Path) -> None:
    found = check(store, tmp_path)
    broken = [each for each in found.values() if each.is_needed and each.state != "works"]
    assert broken == []
    assert found["waiting runs"].found == "none" and found["JupyterLab extensions"].state == "works"


def test_each_fault_has_an_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal.create(make_facts()).release()
    kernels = tmp_path / "kernels"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    monkeypatch.setenv("BOOSTLAB_PROXIED_STORE", "sqlite:////other.db")
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    spec = kernels / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/no/python", "-f", "{connection_file}"], "display_name": "broken", "language": "python"}')
    found = check("http://127.0.0.1:9", tmp_path)
    for part in ("store", "kernel"):
        assert (found[part].state, found[part].is_needed) == ("fails", True)
    assert "no server answers" in found["store"].found and "MLFLOW_TRACKING_URI" in found["store"].advice
    for part in ("waiting runs", "MLflow's UI in JupyterLab", "Docker"):
        assert found[part].state == "warning" and found[part].advice, found[part]
    assert "boostlab deliver" in found["waiting runs"].advice


@pytest.fixture
def late_server() -> Iterator[str]:
    """Serve answers of an hour ago."""

    class Late(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        do_HEAD = do_POST = do_GET  # noqa: N815

        def date_time_string(self, timestamp: float | None = None) -> str:
            import time

            return super().date_time_string(time.time() - 3600 if timestamp is None else timestamp)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_wrong_clock_is_found(late_server: str, tmp_path: Path) -> None:
    found = check(late_server, tmp_path)["clock"]
    assert found.state == "warning" and "+36" in found.found and "timedatectl" in found.advice


def test_the_command_fails_if_a_training_cannot_run(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_at: Open
) -> None:
    monkeypatch.chdir(tmp_path)
    open_at(store)
    done = CliRunner().invoke(main, ["doctor", "--tracking-uri", store])
    assert done.exit_code == 0, done.output
    assert "papermill engine" in done.output
    done = CliRunner().invoke(main, ["doctor", "--tracking-uri", f"sqlite:///{tmp_path}/no/folder/x.db"])
    assert done.exit_code == 1 and "A training cannot run here: store" in done.output, done.output
    assert not (tmp_path / "no").exists()
