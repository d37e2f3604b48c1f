from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from boostlab.data import Part, find_task, load_table, split_table
from boostlab.model import package_model, write_model
from boostlab.predictor import Predictor
from boostlab.training import fit_booster

DATASETS = ["breast_cancer", "diabetes", "digits", "iris", "wine"]
Packaged = tuple[Path, Predictor, Part]
ANSWER_WITHOUT_BOOSTLAB = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "boostlab":
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Blocker())
import mlflow.pyfunc
import pandas as pd
models = [mlflow.pyfunc.load_model(folder) for folder in sys.argv[1:]]  # all loaded before the first one answers
for model, folder in zip(models, sys.argv[1:]):
    print(json.dumps(model.predict(model.metadata.load_input_example(folder)).tolist()))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Packaged]:
    """Return a function that gives a data set's packaged model, the predictor it was made of, and rows to predict."""
    from mlflow.models import Model

    made: dict[str, Packaged] = {}

    def get(dataset: str) -> Packaged:
        if dataset not in made:
            table = load_table(dataset)
            task = find_task(table.target)
            split = split_table(table, task=task, test_size=0.2, valid_size=0.2, seed=0)
            params = {"nthread": 1}
            fit = fit_booster(split, task=task, params=params, num_boost_round=3, early_stopping_rounds=0)
            folder = tmp_path_factory.mktemp(dataset)
            write_model(fit.predictor, split.train.features, folder / "parts")
            package_model(folder / "parts", folder / "model", mlflow_model=Model())
            made[dataset] = folder / "model", fit.predictor, split.test
        return made[dataset]

    return get


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def describe(folder: Path) -> Any:
    from mlflow.models import Model

    return Model.load(str(folder))


def test_writes_parts_that_need_no_mlflow(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    _, predictor, test = package("iris")
    write_model(predictor, test.features, tmp_path / "parts")

    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"model.ubj", "contract.json", "example.json"}
    assert json.loads((tmp_path / "parts" / "contract.json").read_text()) == predictor.contract


@pytest.mark.parametrize("dataset", DATASETS)
def test_answers_alike_in_every_flavour(package: Callable[[str], Packaged], dataset: str) -> None:
    import mlflow.pyfunc
    import mlflow.xgboost

    folder, predictor, test = package(dataset)
    rows = xgb.DMatrix(test.features)

    assert np.array_equal(mlflow.pyfunc.load_model(str(folder)).predict(test.features), predictor.predict(test.features))
    assert np.array_equal(mlflow.xgboost.load_model(str(folder)).predict(rows), predictor.booster.predict(rows))


def test_answers_with_probabilities_where_asked(package: Callable[[str], Packaged]) -> None:
    import mlflow.pyfunc

    folder, predictor, test = package("iris")
    answers = mlflow.pyfunc.load_model(str(folder)).predict(test.features, params={"probabilities": True})

    assert list(answers.columns) == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(answers, predictor.probabilities(test.features))


@pytest.mark.parametrize(
    ("dataset", "output", "params"),
    [("diabetes", "double", []), ("breast_cancer", "string", ["probabilities"]), ("digits", "long", ["probabilities"])],
)
def test_states_its_signature(package: Callable[[str], Packaged], dataset: str, output: str, params: list[str]) -> None:
    folder, predictor, _ = package(dataset)
    signature = describe(folder).signature

    assert signature.inputs.input_names() == predictor.contract["features"]
    assert {kind.name for kind in signature.inputs.input_types()} == {"double"}
    assert [kind.name for kind in signature.outputs.input_types()] == [output]
    assert [param.name for param in signature.params or []] == params


@pytest.mark.parametrize("dataset", ["diabetes", "wine"])
def test_keeps_the_first_rows_as_its_input_example(package: Callable[[str], Packaged], dataset: str) -> None:
    folder, predictor, _ = package(dataset)
    example = describe(folder).load_input_example(str(folder))

    assert example.shape == (5, len(predictor.contract["features"]))
    assert {str(kind) for kind in example.dtypes} == {"float64"}


def test_states_its_requirements_exactly(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")

    assert (folder / "requirements.txt").read_text().split() == [f"{name}=={version(name)}" for name in ("mlflow", "xgboost")]
    assert describe(folder).flavors["python_function"]["python_version"] == ".".join(map(str, sys.version_info[:3]))


def test_holds_no_pickle(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")
    files = [path for path in folder.rglob("*") if path.is_file()]

    assert {path.suffix for path in files} <= {"", ".json", ".py", ".txt", ".ubj", ".yaml"}
    assert not [path for path in files if path.read_bytes().startswith(b"\x80")]


def test_names_its_code_by_what_it_says(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")
    (code,) = (folder / "code").glob("*.py")

    assert code.stem.endswith(hashlib.sha256(code.read_bytes()).hexdigest()[:10])


@pytest.mark.slow
def test_answers_in_a_process_without_boostlab(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged = [package(dataset) for dataset in ("breast_cancer", "diabetes")]
    command = [sys.executable, "-c", ANSWER_WITHOUT_BOOSTLAB, *(str(folder) for folder, _, _ in packaged)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    examples = [describe(folder).load_input_example(str(folder)) for folder, _, _ in packaged]

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        np.asarray(predictor.predict(example)).tolist() for (_, predictor, _), example in zip(packaged, examples, strict=True)
    ]
