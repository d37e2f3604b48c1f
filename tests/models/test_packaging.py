from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from packaging.requirements import Requirement
from tests.support.packages import Packaged, make_package
from tests.support.settings import make_settings

from boostlab.models.contract import Contract
from boostlab.models.packaging import PREDICTOR_FILES, copy_model, list_requirements, write_model
from boostlab.models.predictor import encode_rows, input_types, safe_names
from boostlab.models.signature import state_types

DATASETS = ["breast_cancer", "diabetes", "digits", "iris", "wine", "own"]

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

PACKAGE = """
import sys
from pathlib import Path
from mlflow.models import Model
from boostlab.models.packaging import package_model
package_model(Path(sys.argv[1]), Path(sys.argv[2]), mlflow_model=Model())
print(*sorted({"matplotlib", "sklearn", "xgboost"} & set(sys.modules)))
"""


def load_model(folder: Path) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def describe(folder: Path) -> Any:
    from mlflow.models import Model

    return Model.load(str(folder))


def test_writes_parts_that_need_no_mlflow(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    _, predictor, split = package("iris")
    write_model(predictor, split.test.head(9), tmp_path / "parts")

    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"model.ubj", "contract.json", "example.json"}
    assert Contract.read(tmp_path / "parts") == predictor.contract


@pytest.mark.parametrize("dataset", DATASETS)
def test_answers_alike_in_every_flavour(package: Callable[[str], Packaged], dataset: str) -> None:
    import mlflow.xgboost

    folder, predictor, split = package(dataset)
    rows = split.test.head(len(split.test))
    features = predictor.contract.features
    matrix = xgb.DMatrix(
        encode_rows(rows, features),
        feature_names=safe_names(features),
        feature_types=input_types(features),
        enable_categorical=True,
    )

    assert np.array_equal(load_model(folder).predict(rows), predictor.predict(rows))
    assert np.array_equal(mlflow.xgboost.load_model(str(folder)).predict(matrix), predictor.booster.predict(matrix))


def test_answers_with_probabilities_where_asked(package: Callable[[str], Packaged]) -> None:
    folder, predictor, split = package("iris")
    rows = split.test.head(9)
    answers = load_model(folder).predict(rows, params={"probabilities": True})

    assert list(answers.columns) == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(answers, predictor.answers(rows))


@pytest.mark.parametrize(
    ("dataset", "output", "params"),
    [
        ("diabetes", "double", ["contributions"]),
        ("breast_cancer", "string", ["probabilities", "contributions"]),
        ("digits", "long", ["probabilities", "contributions"]),
    ],
)
def test_states_its_signature(package: Callable[[str], Packaged], dataset: str, output: str, params: list[str]) -> None:
    folder, predictor, _ = package(dataset)
    signature = describe(folder).signature

    assert signature.inputs.input_names() == predictor.contract.names
    assert {kind.name for kind in signature.inputs.input_types()} == {"double"}
    assert [kind.name for kind in signature.outputs.input_types()] == [output]
    assert [param.name for param in signature.params or []] == params


def test_names_each_quantile_in_its_signature(package: Callable[[str], Packaged]) -> None:
    outputs = describe(package("own_quantiles")[0]).signature.outputs

    assert [(column.name, column.type.name) for column in outputs] == [
        (f"quantile {quantile}", "double") for quantile in (0.1, 0.5, 0.9)
    ]


def test_states_the_type_of_each_kind_of_column_and_which_may_be_left_out(
    package: Callable[[str], Packaged], tmp_path: Path
) -> None:
    folder, _, _ = package("own")
    types = {"size": "double", "rooms": "Any", "new": "Any", "city": "Any", "sold": "Any"}
    with_gaps = {"rooms": "double"}  # pandas holds whole numbers with gaps as fractions
    optional = {f"{name}_gap": (with_gaps.get(name, kind), False) for name, kind in types.items()}
    inputs = describe(folder).signature.inputs

    assert {column.name: (getattr(column.type, "name", str(column.type)), column.required) for column in inputs} == {
        **{name: (kind, True) for name, kind in types.items()},
        **optional,
    }
    copy = shutil.copytree(folder, tmp_path / "model")
    state_types(copy)
    assert {kind.name for kind in describe(copy).signature.inputs.input_types()} == {"string"}


def test_answers_rows_without_the_columns_that_may_be_left_out(package: Callable[[str], Packaged]) -> None:
    from mlflow.exceptions import MlflowException

    folder, predictor, split = package("own")
    model = load_model(folder)
    rows = split.test.head(9)[["size", "rooms", "new", "city", "sold"]]

    assert np.array_equal(model.predict(rows), predictor.predict(rows))
    with pytest.raises(MlflowException, match="city"):
        model.predict(rows.drop(columns="city"))


@pytest.mark.parametrize("dataset", ["diabetes", "wine", "own"])
def test_keeps_the_first_rows_as_its_input_example(package: Callable[[str], Packaged], dataset: str) -> None:
    folder, predictor, split = package(dataset)
    example = describe(folder).load_input_example(str(folder))
    rows = split.train.head(5)

    for name in {"city", "city_gap", "new", "rooms"} & set(example.columns):
        assert example[name].dropna().tolist() == rows[name].dropna().tolist()
    features = predictor.contract.features
    assert encode_rows(example, features) == pytest.approx(encode_rows(rows, features), rel=1e-6, nan_ok=True)
    assert np.array_equal(load_model(folder).predict(example), predictor.predict(rows))


def test_takes_a_gap_that_a_server_reads_for_a_gap(package: Callable[[str], Packaged]) -> None:
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    folder, predictor, split = package("own")
    features = predictor.contract.features
    rows = split.test.head(9)
    for name in ("size_gap", "rooms_gap", "new_gap", "city_gap", "sold_gap"):
        rows.loc[0, name] = None
    body = {"dataframe_records": json.loads(rows.to_json(orient="records", date_format="iso"))}
    read = infer_and_parse_data(body, describe(folder).get_input_schema())

    assert np.isnan(encode_rows(read, features)).tolist() == np.isnan(encode_rows(rows, features)).tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_takes_times_of_every_unit(own_table: Path, tmp_path: Path, unit: Any) -> None:
    frame = pd.read_parquet(own_table)[["sold", "price"]]
    frame["sold"] = frame.sold.dt.as_unit(unit)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    folder, predictor, split = make_package(
        make_settings(dataset=str(tmp_path / "t.parquet"), target="price", num_boost_round=9), tmp_path
    )
    rows = split.test.head(9)

    assert np.array_equal(load_model(folder).predict(rows), predictor.predict(rows))


def test_takes_times_with_a_zone_as_text(own_table: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(own_table)[["sold", "price"]]
    frame["sold"] = frame.sold.dt.tz_localize("Europe/Lisbon")
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    folder, predictor, split = make_package(
        make_settings(dataset=str(tmp_path / "t.parquet"), target="price", num_boost_round=9), tmp_path
    )
    rows = split.test.head(9)
    sent = rows.assign(sold=[moment.isoformat() for moment in rows.sold])

    assert np.array_equal(load_model(folder).predict(sent), predictor.predict(rows))


def test_states_its_requirements_exactly(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")
    stated = (folder / "requirements.txt").read_text().splitlines()

    assert stated == list_requirements(Contract("regression", (), (), "cpu"))
    needed = [item for item in map(Requirement, stated) if item.marker is None or item.marker.evaluate()]
    cpu = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
    assert [f"{item.name}{item.specifier}" for item in needed] == [f"mlflow=={version('mlflow')}", f"{cpu}=={version('xgboost')}"]
    assert describe(folder).flavors["python_function"]["python_version"] == ".".join(map(str, sys.version_info[:3]))


def test_states_xgboost_with_its_gpu_libraries_where_a_gpu_was_meant() -> None:
    assert list_requirements(Contract("regression", (), (), "cuda:0")) == [
        f"{name}=={version(name)}" for name in ("mlflow", "xgboost")
    ]


def test_holds_no_pickle(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    ]  # of servers of the model

    assert {path.suffix for path in files} <= {"", ".json", ".py", ".txt", ".ubj", ".yaml"}
    assert not [path for path in files if path.read_bytes().startswith(b"\x80")]


def test_a_copy_for_an_image_has_the_data_and_the_identity_of_a_model_and_the_installed_code(
    package: Callable[[str], Packaged], tmp_path: Path
) -> None:
    folder, _, split = package("own_classes")
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    (model / "requirements.txt").write_text("other==1\n")
    (model / "more.pkl").touch()
    copy_model(model, tmp_path / "copies" / "model")

    given, copied = (mlflow.pyfunc.load_model(str(each)) for each in (folder, tmp_path / "copies" / "model"))
    rows = split.test.head(20)[given.metadata.get_input_schema().input_names()]
    assert copied.predict(rows).tolist() == given.predict(rows).tolist()
    facts = ("signature", "run_id", "model_uuid", "utc_time_created")
    assert [getattr(copied.metadata, name) for name in facts] == [getattr(given.metadata, name) for name in facts]
    left = {path.name for path in (tmp_path / "copies" / "model").rglob("*") if path.is_file()}
    assert "more.pkl" not in left and "input_example.json" not in left
    assert "other" not in (tmp_path / "copies" / "model" / "requirements.txt").read_text()


def test_names_its_code_by_what_it_says(package: Callable[[str], Packaged]) -> None:
    folder, _, _ = package("iris")
    (code,) = (folder / "code").iterdir()
    content = b"".join((code / name).read_bytes() for name in ("__init__.py", *PREDICTOR_FILES[1:]))

    assert code.name.endswith(hashlib.sha256(content).hexdigest()[:10])


def test_a_process_that_packages_a_model_does_not_load_it(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, _, _ = package("own")
    command = [sys.executable, "-c", PACKAGE, str(folder.with_name("parts")), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert (tmp_path / "model" / "MLmodel").exists()
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_answers_in_a_process_without_boostlab(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged = [package(dataset) for dataset in ("breast_cancer", "diabetes", "own")]
    command = [sys.executable, "-c", ANSWER_WITHOUT_BOOSTLAB, *(str(folder) for folder, _, _ in packaged)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    examples = [describe(folder).load_input_example(str(folder)) for folder, _, _ in packaged]

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        np.asarray(predictor.predict(example)).tolist() for (_, predictor, _), example in zip(packaged, examples, strict=True)
    ]
