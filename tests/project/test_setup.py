"""The kit around the library: the environment's three files, the Makefile, the README and what git holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.support.paths import PROJECT

LOCK = (PROJECT / "requirements.txt").read_text()
MAKEFILES = (PROJECT / "Makefile").read_text() + (PROJECT / "lab.mk").read_text()
ENVIRONMENT_STANDS = "--assume-old=.venv/.ready"
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
REQUIRED = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
MINORS = (11, 12, 13)  # of the Pythons that are supported
MAKE_IS_HERE = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@cache
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
    for requirement in map(Requirement, REQUIRED):
        for pin in locked()[canonicalize_name(requirement.name)]:
            (version,) = (clause.version for clause in pin.specifier)
            assert requirement.specifier.contains(version), requirement


def test_the_conda_environment_is_python_pip_and_the_lock() -> None:
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    python, pip, locks = environment["dependencies"]
    assert pip == "pip"
    assert locks == {"pip": ["-r requirements.txt"]}
    assert python == f"python{PYPROJECT['project']['requires-python']}"


@pytest.mark.parametrize("minor", MINORS)
def test_the_lock_has_one_version_of_each_requirement_for_each_python(minor: int) -> None:
    python = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
    for requirement in map(Requirement, REQUIRED):
        pins = [pin for pin in locked()[canonicalize_name(requirement.name)] if not pin.marker or pin.marker.evaluate(python)]
        assert len(pins) == 1, requirement


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
    assert "lib/boostlab/engine.py" in tracked
    assert not [name for name in tracked if name.endswith((".db", ".pyc")) or name.startswith((".venv", "runs/", "mlruns"))]


def test_a_commit_is_checked_by_make_lint_and_a_change_by_ci_run() -> None:
    hooks = [
        hook for repo in yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]
    ]
    assert [(hook["entry"], hook["language"], hook["pass_filenames"]) for hook in hooks] == [("make lint", "system", False)]
    assert ".venv" not in str(hooks)
    (job,) = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_what_ci_runs_lies_in_the_repository() -> None:
    for script in (PROJECT / ".ci").iterdir():
        subprocess.run(["bash", "-n", script], check=True)
        outside = re.findall(r"\.\./\S+", script.read_text())
        assert not outside, (script.name, outside)


@MAKE_IS_HERE
def test_make_alone_lists_each_target() -> None:
    phony = " ".join(re.findall(r"^\.PHONY: (.*)", MAKEFILES, re.MULTILINE))
    command = ["make", "--no-print-directory"]  # the tests themselves may run under make, which would name the folder
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^make (\w+) +\S.*$", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(set(phony.split()) - {"environment"})
    assert len(listed) == len(done.stdout.splitlines())


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Return a folder, to be the whole PATH, whose Pythons all fail as those of a version manager do."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("make", "sh", "awk", "tail", "test", "echo"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name in ("python3", *(f"python3.{minor}" for minor in MINORS)):
        write_command(folder / name, f'echo "{name}: command not found" >&2; exit 127')
    return folder


def write_command(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def choose_python(commands: Path) -> str:
    """Return the Python that the Makefile takes when a folder is the whole PATH."""
    show = ["--eval", 'show: ; @echo "$(PYTHON)"', "show"]
    env = {"PATH": str(commands)}
    return subprocess.run(["make", *show], cwd=PROJECT, env=env, capture_output=True, text=True, check=True).stdout.strip()


@MAKE_IS_HERE
def test_the_newest_python_that_runs_is_taken(commands: Path) -> None:
    assert choose_python(commands) == ""
    for name in ("python3", *(f"python3.{minor}" for minor in MINORS)):
        write_command(commands / name, f'exec {sys.executable} "$@"')
        assert choose_python(commands) == name


@MAKE_IS_HERE
def test_the_search_for_a_python_is_made_once(commands: Path, tmp_path: Path) -> None:
    for name in ("sed", "touch", "rm", "mkdir"):
        (commands / name).symlink_to(str(shutil.which(name)))
    write_command(commands / "python3.13", f'echo "$*" >>{tmp_path}/calls; exit 127')
    write_command(commands / "python3.12", f'exec {sys.executable} "$@"')
    env = {"PATH": str(commands)}
    command = ["make", "--dry-run", f"VENV={tmp_path}/env", f"{tmp_path}/env/.ready"]
    planned = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=True).stdout
    assert '"python3.12" -m venv' in planned
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


@MAKE_IS_HERE
def test_refuses_an_environment_with_a_space_before_anything_is_deleted() -> None:
    done = subprocess.run(["make", "-n", "clean", "VENV=my env"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode and "VENV=my env cannot be used: name one folder, without spaces" in done.stderr
    assert "rm -rf" not in done.stdout


@MAKE_IS_HERE
@pytest.mark.parametrize("target", ["environment", "clean", "train"])
def test_refuses_to_delete_a_folder_that_is_no_environment(target: str, tmp_path: Path) -> None:
    kept = tmp_path / "thesis" / "chapter.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    command = ["make", target, f"VENV={kept.parent}", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode and "holds files and is no environment of Python, and make would delete it" in done.stderr
    assert kept.read_text() == "years of work"


@MAKE_IS_HERE
def test_commands_keep_bytecode_even_if_the_shell_forbids_it() -> None:
    command = ["make", "--eval", "show: ; @env", "show"]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=True).stdout
    assert "PIP_DISABLE_PIP_VERSION_CHECK=1" in shown.splitlines()
    assert "PYTHONDONTWRITEBYTECODE=1" not in shown.splitlines()


@MAKE_IS_HERE
@pytest.mark.parametrize(
    ("python", "body", "words"),
    [
        (None, "", r"needs Python 3\.11, 3\.12 or 3\.13, and none of them runs here\. .*PYTHON=/path/to"),
        ("python3.10", 'test "$1" = --version && echo Python 3.10.13', r"PYTHON=python3\.10 cannot be used: Python 3\.10\.13\."),
        ("python3.99", "exit 127", r"PYTHON=python3\.99 cannot be used: "),
        (
            "python3.12",
            f"""case "$2" in *venv*) exit 1;; esac; exec {sys.executable} "$@\"""",
            r"python3\.12 has no module venv .*apt install python3-venv",
        ),
    ],
)
def test_a_python_that_cannot_be_used_is_one_line(
    commands: Path, tmp_path: Path, python: str | None, body: str, words: str
) -> None:
    given = [f"PYTHON={python}"] if python else []
    if python:
        write_command(commands / python, body)
    done = subprocess.run(
        ["make", "environment", f"VENV={tmp_path}/env", *given],
        cwd=PROJECT, env={"PATH": str(commands)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    message, *rest = done.stderr.splitlines()
    assert re.search(words, message), done.stderr
    assert len(rest) == 1 and rest[0].startswith("make: ***")
    assert not (tmp_path / "env").exists()


@MAKE_IS_HERE
@pytest.mark.parametrize(("lacks", "anew"), [("", False), (".ready", True), ("bin/uv", True), ("bin/python", True)])
def test_an_environment_that_was_cut_off_is_made_anew(tmp_path: Path, lacks: str, anew: bool) -> None:
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "uv"):
        write_command(environment / "bin" / name, "exit 0")
    (environment / ".ready").touch()
    os.utime(environment / ".ready", (0, 0))  # older than the lock
    if lacks:
        (environment / lacks).unlink()
    command = ["make", "--dry-run", f"VENV={environment}", f"PYTHON={sys.executable}", f"{environment}/.ready"]
    planned = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert ("-m venv" in planned) == anew
    assert "--require-hashes -r requirements.txt" in planned
