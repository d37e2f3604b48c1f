"""The kit around the library: the environment's three files, the Makefile, the README and what git holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.support.common import PROJECT, TIMEOUT_S

LOCK = (PROJECT / "requirements.txt").read_text()
README = (PROJECT / "README.md").read_text()
ENVIRONMENT_STANDS = "--assume-old=.venv/.ready"
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def locked() -> dict[str, list[Requirement]]:
    """Return the lock's requirements by name; a package may stand in it once per Python version."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[a-zA-Z0-9].*", LOCK, re.MULTILINE):
        requirement = Requirement(line.rstrip(" \\"))
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_the_lock_pins_exactly_has_hashes_and_names_no_address() -> None:
    for requirements in locked().values():
        for requirement in requirements:
            assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
    assert LOCK.count("--hash=sha256:") > len(locked())
    assert not re.search(r"://|index-url|find-links", LOCK)


def test_the_lock_satisfies_what_the_project_asks_for() -> None:
    asked = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    for requirement in map(Requirement, asked):
        for pin in locked()[canonicalize_name(requirement.name)]:
            (version,) = (clause.version for clause in pin.specifier)
            assert requirement.specifier.contains(version), requirement


def test_the_conda_environment_is_python_pip_and_the_lock() -> None:
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    python, pip, locks = environment["dependencies"]
    assert pip == "pip"
    assert locks == {"pip": ["-r requirements.txt"]}
    minimum = PYPROJECT["project"]["requires-python"].removeprefix(">=").partition(",")[0]
    assert python == f"python={minimum}"


def test_what_is_installed_is_what_is_locked() -> None:
    installed: dict[str, str] = {canonicalize_name(item.metadata["Name"]): item.version for item in distributions()}
    for name, pins in locked().items():
        for pin in pins:
            if pin.marker is None or pin.marker.evaluate():
                assert pin.specifier.contains(installed[name], prereleases=True), name


def test_git_holds_the_library_and_nothing_of_this_machine() -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout: what git holds cannot be asked")
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    assert "lib/boostlab/execution.py" in tracked
    assert not [name for name in tracked if name.endswith((".db", ".pyc")) or name.startswith((".venv", "runs/", "mlruns"))]


def test_each_target_of_the_makefile_is_in_the_readme_or_named_by_it() -> None:
    targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {f"make {name}" for name in targets if name != "clean"} <= set(re.findall(r"make [a-z]+", README))


def test_the_readme_is_short_and_its_files_are_there() -> None:
    assert len(README.splitlines()) <= 150
    for name in re.findall(r"(?:notebooks|parameters|lib|tests|docs)/[\w/.-]+\.\w+", README):
        assert (PROJECT / name).exists(), name


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the project that shares this environment, so that its Makefile need not make one."""
    copy = tmp_path / "checkout"
    ignore = shutil.ignore_patterns(".venv", ".git", "runs", "mlflow.db*", "mlartifacts", "*.egg-info", ".*_cache")
    shutil.copytree(PROJECT, copy, ignore=ignore)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    return copy


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", ENVIRONMENT_STANDS, *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_train_ends_by_saying_where_the_run_is(checkout: Path) -> None:
    done = make(checkout, "train", "ARGS=-p eta 0.3 -p max_depth 4")
    assert done.returncode == 0, done.stderr
    assert "Setting up" not in done.stdout
    (output,) = (checkout / "runs").glob("train-*.ipynb")
    assert "eta = 0.3" in output.read_text()
    assert "Executing:" in done.stderr
    assert re.search(r"test_rmse +\d", done.stderr)
    assert re.search(r"see http://127.0.0.1:5000/#/experiments/1/runs/\w+ while this runs: make ui", done.stderr)
    assert (checkout / "mlflow.db").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_readmes_commands_run(checkout: Path) -> None:
    """Run each of the README's shell lines that ends by itself, as it stands there."""
    lines = [
        line.partition("#")[0].strip() for block in re.findall(r"```\n(.*?)```", README, re.DOTALL) for line in block.split("\n")
    ]
    lines = [line for line in lines if line and line not in ("make test", "make ui", "make lab", "make train")]
    assert len(lines) >= 3
    env = os.environ | {"PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"}
    for line in lines:
        command = line.replace("make ", f"make {ENVIRONMENT_STANDS} ", 1)
        done = subprocess.run(
            ["bash", "-c", command], cwd=checkout, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, (line, done.stderr)
