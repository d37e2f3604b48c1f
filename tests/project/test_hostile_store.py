"""A store that others write to: no code of a registered model runs unless the user trusts it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, cast

import nbformat
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from tests.support.docker import deploy_settings, start_recording
from tests.support.paths import PROJECT
from tests.support.registry import WEAK, add_version, registry_settings
from tests.support.stores import NewStore

from boostlab import Score
from boostlab.comparison.candidates import compare_runs
from boostlab.deployment import Deployment
from boostlab.errors import LabError
from boostlab.models.contract import MODEL_DATA
from boostlab.models.loading import fetch_version
from boostlab.notebook.parameters import check_parameters
from boostlab.registry.view import read_run, view_model
from boostlab.scoring import prepare_scoring
from boostlab.scoring.steps import Scoring
from boostlab.tracking.store import find_store, open_store
from boostlab.widgets.registry_panel import show_panel

NAME = "trap"
CODE = "\nfrom pathlib import Path\nPath({mark!r}).write_text('the code of the model ran')\n"
OTHER = """
class Model:
    def predict(self, rows, params=None):
        return rows["bmi"] * 2

_load_pyfunc = lambda _: Model()
"""
GATE = PROJECT / "parameters" / "registry" / "gate.yaml"
SCORE = nbformat.read(PROJECT / "notebooks" / "score.ipynb", as_version=4)


class Trap:
    """A store with a model of two versions. The code of the second writes the file `mark` when it is loaded."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client, self.folder, self.mark = client, folder, folder / "mark"
        for rounds in (WEAK, WEAK + 1):
            add_version(client, NAME, rounds=rounds)
        self.model = fetch_version(client, NAME, 2)
        (self.loader,) = self.model.glob("code/*/__init__.py")
        self.loader.write_text(self.loader.read_text() + CODE.format(mark=str(self.mark)))
        (self.model / "requirements.txt").write_text("evil-package==6.6.6\n")

    def make_foreign(self) -> None:
        """Turn the second version into a model of another tool."""
        shutil.rmtree(self.model / MODEL_DATA)
        (self.model / MODEL_DATA).mkdir()
        name, other = self.loader.parent.name, f"other_{os.urandom(4).hex()}"  # no test imported it
        self.loader = self.loader.parent.rename(self.loader.parents[1] / other) / "__init__.py"
        self.loader.write_text(OTHER + CODE.format(mark=str(self.mark)))
        description = self.model / "MLmodel"
        description.write_text(description.read_text().replace(f"loader_module: {name}", f"loader_module: {other}"))

    def prepare_scoring(self, **given: Any) -> Scoring:
        load_diabetes(as_frame=True).data.head(40).to_csv(self.folder / "rows.csv", index=False)
        values = {"model": NAME, "version": 2, "rows": str(self.folder / "rows.csv"), **given}
        return prepare_scoring(start_recording(), cast(Score, check_parameters(SCORE, values)))

    def deploy(self, **given: Any) -> Deployment:
        return Deployment(start_recording(), deploy_settings(model=NAME, version=2, **given))


@pytest.fixture
def trap(tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Trap:
    client = open_store(find_store(new_store(tmp_path), project=tmp_path)).client
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    return Trap(client, tmp_path)


def show_results(trap: Trap) -> str:
    """Return the gate's results that the panel shows when it opens."""
    notebook = str(PROJECT / "notebooks" / "registry.ipynb")
    return str(cast(Any, show_panel(trap.client, registry_settings(), gate_file=GATE, notebook=notebook)).results.value)


def test_looking_comparing_scoring_and_deploying_run_no_code_of_a_model(trap: Trap) -> None:
    assert "It repeats the answers that its run recorded" in show_results(trap)
    view = view_model(trap.client, NAME)
    champion, challenger = (cast(Any, read_run(trap.client, version.run_id)) for version in view.versions)
    assert compare_runs(trap.client, champion=champion, challenger=challenger).rows
    scoring = trap.prepare_scoring()
    scoring.show_version()
    assert len(cast(pd.DataFrame, scoring.score())) == 5
    deployment = trap.deploy(output="process")
    assert {result for _, result, _ in deployment.verify().rows} == {"passed"}

    assert not trap.mark.exists()


def test_an_image_gets_the_installed_predictor_and_its_requirements(trap: Trap) -> None:
    for builder in ("mlflow", "lean"):
        trap.deploy(output="context", builder=builder, folder=str(trap.folder / builder)).build()
        texts = [path.read_text(errors="replace") for path in (trap.folder / builder).rglob("*") if path.is_file()]
        assert not any("the code of the model ran" in text or "evil-package" in text for text in texts)
    (loader,) = (trap.folder / "mlflow").rglob("code/*/__init__.py")
    assert loader.read_bytes() == (PROJECT / "lib" / "boostlab" / "models" / "predictor.py").read_bytes()
    assert not trap.mark.exists()


def test_a_model_of_another_tool_is_refused_with_its_files_and_requirements(trap: Trap) -> None:
    trap.make_foreign()

    assert "was not made by boostlab" in show_results(trap)
    shown = r"No code of the model has run\. Its files: MLmodel, code/.* Its requirements: evil-package==6\.6\.6\."
    with pytest.raises(LabError, match=rf"was not made by boostlab.*{shown} To run its code nonetheless: -p trust_code True\."):
        trap.prepare_scoring()
    for given in ({"output": "process"}, {"output": "context"}, {"builder": "lean"}, {}):
        with pytest.raises(LabError, match=rf"{shown} To run its code nonetheless: -p builder mlflow -p trust_code True\."):
            trap.deploy(**given)
    assert not trap.mark.exists()


def test_trusted_code_runs_after_its_files_are_shown(trap: Trap) -> None:
    trap.make_foreign()
    scoring = trap.prepare_scoring(trust_code=True)
    shown = cast(Any, scoring.show_version()).data
    assert "evil" in shown and "MLmodel" in shown and not trap.mark.exists()

    scored = cast(pd.DataFrame, scoring.score())
    assert trap.mark.exists()
    assert scored["prediction"].tolist() == pytest.approx((scored["bmi"].astype(float) * 2).tolist())
    assert all("drift is not measured" in shown.data for shown in scoring.log_drift())
    assert "scored 40 rows" in scoring.summarize()[-1].data


@pytest.mark.parametrize(
    ("is_foreign", "rows", "passed"), [(True, "5 rows of the input example", 13), (False, "200 holdout rows", 15)]
)
def test_a_server_of_trusted_code_starts_after_its_files_are_shown(is_foreign: bool, rows: str, passed: int, trap: Trap) -> None:
    if is_foreign:
        trap.make_foreign()
    deployment = trap.deploy(output="process", trust_code=True)
    assert "evil-package==6.6.6" in repr(deployment.show_target())
    assert not trap.mark.exists()

    checks = {check: result for check, result, _ in deployment.verify().rows}
    assert trap.mark.exists()
    assert set(checks.values()) == {"passed", *(["skipped"] if is_foreign else [])} and f"{rows} as CSV" in checks
    deployment.release()
    assert f"passed {passed} of {passed} checks" in deployment.summarize()


def test_code_that_does_not_load_is_one_message(trap: Trap) -> None:
    trap.make_foreign()
    trap.loader.write_text("import evil_package")
    words = "cannot be loaded by its own code: ModuleNotFoundError: No module named 'evil_package'. If it needs other packages"
    for act in (trap.prepare_scoring(trust_code=True).score, trap.deploy(output="process", trust_code=True).verify):
        with pytest.raises(LabError, match=words):
            act()


def test_an_image_of_trusted_code_holds_the_models_own(trap: Trap) -> None:
    deployment = trap.deploy(output="context", folder=str(trap.folder / "out"), trust_code=True)
    assert "evil-package==6.6.6" in repr(deployment.show_target())
    deployment.build()
    (loader,) = (trap.folder / "out").rglob("code/*/__init__.py")
    assert loader.read_bytes() == trap.loader.read_bytes()


def test_answers_that_are_not_the_models_fail_the_gate(trap: Trap) -> None:
    other = fetch_version(trap.client, NAME, 1) / MODEL_DATA / "model.ubj"
    shutil.copy(other, trap.model / MODEL_DATA / "model.ubj")

    found = show_results(trap)
    runs = [cast(Any, read_run(trap.client, version.run_id)) for version in view_model(trap.client, NAME).versions]
    for pair, role in ((runs, "champion"), (runs[::-1], "challenger")):
        with pytest.raises(LabError, match=f"test rows the answer that the {role}'s run recorded is not the one of its model"):
            compare_runs(trap.client, champion=pair[0], challenger=pair[1])
    assert "of 177 test rows its answer is not the one that its run recorded" in found


@pytest.mark.parametrize("content", [b"no Parquet", b""])
def test_damaged_test_rows_are_a_reason_and_no_traceback(trap: Trap, content: bytes, tmp_path: Path) -> None:
    run_id = view_model(trap.client, NAME).version(2).run_id
    (tmp_path / "test_rows.parquet").write_bytes(content)
    trap.client.log_artifact(run_id, str(tmp_path / "test_rows.parquet"), "evaluation")

    assert "The answers that its run recorded cannot be checked: evaluation/test_rows.parquet" in show_results(trap)
