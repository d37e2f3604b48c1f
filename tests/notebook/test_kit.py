"""A lab outside of the checkout: the wheel, ``boostlab init``, and the lab's two commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from tests.support.paths import BOOSTLAB, PROJECT
from tests.support.stores import all_runs, artifacts
from tests.support.waiting import TIMEOUT_S

from boostlab.errors import LabError
from boostlab.notebook import create_lab
from boostlab.notebook.kit import find_source

UV = str(Path(sys.executable).with_name("uv"))
NO_NETWORK = ("error sending request", "Failed to fetch", "dns error")


def run(*command: object, cwd: Path) -> str:
    """Run a command outside of this environment, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=3 * TIMEOUT_S, check=False
    )
    if done.returncode and any(words in done.stderr for words in NO_NETWORK):
        pytest.skip("no package index can be reached: an empty environment cannot be filled")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=PROJECT)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_notebooks_parameter_sets_gate_and_templates(wheel: Path) -> None:
    lab = "boostlab/notebook/templates/lab/"
    held = set(zipfile.ZipFile(wheel).namelist())
    own = [path.relative_to(PROJECT) for folder in ("notebooks", "parameters") for path in (PROJECT / folder).rglob("*.*")]
    assert own
    assert {lab + str(path) for path in own if ".ipynb_checkpoints" not in path.parts} <= held
    assert {lab + "requirements.txt", "boostlab/notebook/templates/page.html.j2", "boostlab/data/__init__.pyi"} <= held


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_lab_from_the_wheel_trains_promotes_and_passes_its_tests(wheel: Path, tmp_path: Path) -> None:
    """Install the wheel into an empty environment without the lock's development tools, and work in a new lab."""
    run(UV, "venv", "--quiet", "--python", sys.executable, "env", cwd=tmp_path)
    install = [UV, "pip", "install", "--quiet", "--python", "env/bin/python", "--constraint", PROJECT / "requirements.txt"]
    run(*install, wheel, cwd=tmp_path)
    run("env/bin/boostlab", "init", "my-lab", cwd=tmp_path)
    lab = tmp_path / "my-lab"
    run("make", "train", "ARGS=-f parameters/train/quick.yaml -p register_as homes", cwd=lab)
    move = ["-p", "model", "homes", "-p", "version", "1", "-p", "stage", "staging", "-p", "reason", "first"]
    run(".venv/bin/papermill", "notebooks/registry.ipynb", "out.ipynb", *move, cwd=lab)
    assert "passed" in run("make", "test", cwd=lab)

    store = f"sqlite:///{lab / 'mlflow.db'}"
    client = MlflowClient(store, store)
    assert {run.info.status for run in all_runs(client)} == {"FINISHED"}
    assert all(any(path.startswith("notebook/") for path in artifacts(client, run.info.run_id)) for run in all_runs(client))
    assert int(client.get_model_version_by_alias("homes", "staging").version) == 1


def test_a_lab_is_whole_and_none_of_its_files_is_a_template(tmp_path: Path) -> None:
    files = {str(path) for path in create_lab(tmp_path / "my lab")}
    assert {"Makefile", "README.md", ".gitignore", "environment.yml", "requirements.txt", "notebooks/train.ipynb"} <= files
    assert files == set(read_files(tmp_path / "my lab"))
    assert not [name for name in files if name.endswith(".j2")]
    assert (tmp_path / "my lab" / "README.md").read_text().startswith("# my lab\n")


def test_no_file_is_overwritten_and_none_is_written_where_one_is_there(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "train.ipynb").write_text("mine")
    with pytest.raises(LabError, match=r"holds notebooks/train.ipynb already, and no file is overwritten"):
        create_lab(tmp_path)
    assert read_files(tmp_path) == {"notebooks/train.ipynb": b"mine"}


def test_a_file_in_the_place_of_a_folder_and_a_broken_link_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "parameters").write_text("mine")
    (tmp_path / "Makefile").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LabError, match=r"holds Makefile, parameters already"):
        create_lab(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"parameters", "Makefile"}


def test_a_folder_with_other_files_becomes_a_lab(tmp_path: Path) -> None:
    (tmp_path / "homes.csv").write_text("a,b\n")
    create_lab(tmp_path)
    assert (tmp_path / "homes.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("place", ["file", "file/lab"])
def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    command = [BOOSTLAB, "init", str(tmp_path / place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The lab ") and "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lab_names_where_this_boostlab_came_from() -> None:
    assert Path(find_source()).exists() or find_source().startswith("boostlab==")


@pytest.mark.parametrize(("folder", "name"), [("yes", "yes"), ("#x {y}", "x-y"), ("casa é\n2", "casa-2"), ("[", "lab")])
def test_a_folder_of_any_name_gives_the_environment_a_plain_one(tmp_path: Path, folder: str, name: str) -> None:
    create_lab(tmp_path / folder)
    assert yaml.safe_load((tmp_path / folder / "environment.yml").read_text())["name"] == name
