"""The README: every command in it runs, and everything that it names exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from tests.support.paths import PROJECT
from tests.support.servers import free_port
from tests.support.waiting import TIMEOUT_S, wait_until

README = (PROJECT / "README.md").read_text()
BLOCKS = [
    [command for line in block.splitlines() if (command := line.partition("  #")[0].strip())]
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
]
PRINTED = {  # what a command prints, besides that it ends well
    "make train": r"test_(rmse|log_loss) +\d[\s\S]*see http://127.0.0.1:5000/#/experiments/1/runs/\w+ while this runs: make ui",
    "make sweep": r"trials_complete +8",
    "make test": r"-m pytest",
    "papermill --help-notebook": r"max_depth: int",
    "boostlab init": r"my-lab",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the project that uses this environment, so that its Makefile need not set one up."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "runs", "mlflow.db*", "mlartifacts", ".*_cache", "__pycache__")
    shutil.copytree(PROJECT, copy, ignore=ignored, symlinks=True)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    return copy


def shell(command: str, checkout: Path) -> tuple[list[str], dict[str, str]]:
    """Return a command as a shell of the active environment runs it; the environment is not set up again."""
    environment = os.environ | {"PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"}
    return ["bash", "-c", re.sub(r"^make\b", "exec make --assume-old=.venv/.ready", command)], environment


def run(command: str, checkout: Path) -> str:
    """Run a command that ends; return all that it printed."""
    words, environment = shell("make -n test" if command == "make test" else command, checkout)
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@contextmanager
def serving(command: str, checkout: Path, address: str) -> Iterator[requests.Response]:
    """Start a command that does not end, yield its answer at an address, and stop it."""
    words, environment = shell(command, checkout)

    def ask() -> requests.Response | None:
        assert process.poll() is None, f"{command} ended by itself: {log.read_text()}"
        try:
            found = requests.get(address, timeout=10)
        except requests.RequestException:
            return None
        return found if found.ok else None

    log = checkout / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=checkout, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        yield wait_until(ask, TIMEOUT_S)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def look_at_ui(checkout: Path) -> None:
    port = free_port()
    with serving(f"make ui PORT={port}", checkout, f"http://127.0.0.1:{port}/") as answer:
        assert "<title>MLflow</title>" in answer.text


def look_at_lab(checkout: Path) -> None:
    port = free_port()
    options = f"--no-browser --allow-root --ServerApp.port={port} --ServerApp.port_retries=0 --IdentityProvider.token=readme"
    with serving(
        f"make lab ARGS={shlex.quote(options)}", checkout, f"http://127.0.0.1:{port}/api/contents/notebooks?token=readme"
    ) as answer:
        assert "train.ipynb" in {item["name"] for item in answer.json()["content"]}


ENDLESS = {"make ui": look_at_ui, "make lab": look_at_lab}


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0])
def test_each_command_runs(block: list[str], checkout: Path) -> None:
    for command in block:
        if command in ENDLESS:
            ENDLESS[command](checkout)
            continue
        printed = run(command, checkout)
        for start, pattern in PRINTED.items():
            assert not command.startswith(start) or re.search(pattern, printed), printed


def test_is_short_and_has_its_commands_in_blocks() -> None:
    assert len(README.splitlines()) <= 120
    assert {"make train", "make test", "make ui", "make lab"} <= {command for block in BLOCKS for command in block}


def test_names_each_notebook_and_each_command_of_a_lab() -> None:
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        assert f"| `notebooks/{path.name}` |" in README
    targets = re.findall(r"^([a-z]+):", (PROJECT / "lab.mk").read_text(), re.MULTILINE)
    assert {f"make {name}" for name in targets if name not in ("help", "clean", "environment")} <= set(
        re.findall(r"make [a-z]+", README)
    )


def test_everything_that_it_names_exists() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    named = re.findall(r"`((?:notebooks|parameters|lib|tests|docs)/[\w/.-]+\.\w+)`", README)
    assert linked
    assert not [name for name in [*linked, *named] if not (PROJECT / name).exists()]
