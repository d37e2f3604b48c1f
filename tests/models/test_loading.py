"""Loading: versions are fetched and checked, and models of real tables give equal answers wherever they are loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import palmerpenguins
import pandas as pd
import pytest
import requests
import vega_datasets
from tests.support.packages import Packaged
from tests.support.paths import PROJECT
from tests.support.registry import copy_version
from tests.support.servers import serve_model
from tests.support.stores import all_runs
from tests.support.waiting import TIMEOUT_S

from boostlab.errors import LabError
from boostlab.models.loading import check_model, describe_version, fetch_version, load_version
from boostlab.tracking.store import find_store, open_store

TRAIN = PROJECT / "notebooks" / "train.ipynb"
VEGA = Path(vega_datasets.__file__).parent / "_data"
ASK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "boostlab":
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
import json, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
rows = pd.read_parquet(sys.argv[3]) if sys.argv[3].endswith("parquet") else pd.read_csv(sys.argv[3])
out = {"answers": model.predict(rows).tolist()}
if "probabilities" in [each.name for each in model.metadata.signature.params]:
    out["probabilities"] = model.predict(rows, params={"probabilities": True}).to_numpy().tolist()
print(json.dumps(out))
"""


def penguins(folder: Path) -> tuple[Path, str]:
    """Text, gaps and text labels; CSV."""
    source = Path(palmerpenguins.__file__).parent / "data" / "penguins.csv"
    return Path(shutil.copy(source, folder)), "species"


def cars(folder: Path) -> tuple[Path, str]:
    """A quantity with gaps, text, dates; Parquet."""
    frame = pd.read_json(VEGA / "cars.json")
    frame["Year"] = pd.to_datetime(frame["Year"])
    frame.to_parquet(folder / "cars.parquet", index=False)
    return folder / "cars.parquet", "Miles_per_Gallon"


def weather(folder: Path) -> tuple[Path, str]:
    """Dates as text, text labels, and gaps that are made here; gzipped CSV."""
    frame = pd.read_csv(VEGA / "seattle-weather.csv", parse_dates=["date"])
    frame.loc[::7, "wind"] = np.nan
    frame.to_csv(folder / "weather.csv.gz", index=False)
    return folder / "weather.csv.gz", "weather"


def post(address: str, body: dict[str, Any] | str) -> Any:
    kind = "text/csv" if isinstance(body, str) else "application/json"
    data = body if isinstance(body, str) else json.dumps(body)
    answer = requests.post(f"{address}/invocations", data=data.encode(), headers={"Content-Type": kind}, timeout=60)
    assert answer.ok, answer.text
    return answer.json()["predictions"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a client of a SQLite store."""
    folder = tmp_path_factory.mktemp("store")
    return open_store(find_store(f"sqlite:///{folder}/mlflow.db", project=folder)).client


def test_fetches_and_loads_a_version_once_per_process(client: Any) -> None:
    version = copy_version(client, "sugar")
    folder = fetch_version(client, "sugar", version)
    model = load_version(client, "sugar", version)

    assert fetch_version(client, "sugar", version) is folder
    assert load_version(client, "sugar", version) is model
    assert describe_version(client, "sugar", version).signature.outputs == model.metadata.signature.outputs
    assert model.metadata.signature.inputs is None  # the predictor checks the rows
    check_model(folder)


def test_says_that_the_artifacts_of_a_version_are_gone(client: Any, tmp_path: Path) -> None:
    client.create_registered_model("gone")
    client.create_model_version("gone", (tmp_path / "nothing").as_uri())

    with pytest.raises(LabError, match=r"version 1 of gone are gone: .*\. Restore them, or train and register again\.$"):
        fetch_version(client, "gone", 1)


def test_refuses_a_model_without_a_signature_and_a_model_of_another_tool(
    package: Callable[[str], Packaged], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(package("iris")[0], tmp_path / "model"))
    (model / "data" / "model_data" / "contract.json").unlink()
    with pytest.raises(LabError, match=r"was not made by boostlab: it lacks data/model_data/contract\.json\. Train it"):
        check_model(model)

    text = (model / "MLmodel").read_text()
    (model / "MLmodel").write_text(text.replace("\nsignature:", "\nsign:"))
    with pytest.raises(LabError, match="has no signature, so nobody can tell what it takes"):
        check_model(model)


@pytest.mark.slow
@pytest.mark.parametrize("make", [penguins, cars, weather], ids=lambda make: make.__name__)
def test_a_real_table_is_trained_registered_loaded_and_served_with_equal_answers(
    make: Callable[[Path], tuple[Path, str]], execute: Callable[..., Any], store: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    path, target = make(tmp_path)
    options = ["-p", "dataset", path, "-p", "target", target, "-p", "register_as", "real", "-p", "tracking_uri", store]
    done = execute(TRAIN, "out.ipynb", *options, "-p", "num_boost_round", 30)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert run.info.status == "FINISHED"
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    assert run.data.metrics["rows_without_target"] == frame[target].isna().sum()
    main = "rmse" if "test_rmse" in run.data.metrics else "log_loss"
    assert run.data.metrics[f"test_{main}"] < run.data.metrics[f"baseline_{main}"] * 0.8

    command = [sys.executable, "-W", "ignore", "-c", ASK, store, "models:/real/1", str(path)]
    fresh = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert fresh.returncode == 0, fresh.stderr
    here = json.loads(fresh.stdout.splitlines()[-1])
    known = frame[target].notna()
    if main == "log_loss":
        assert (np.array(here["answers"])[known] == frame[target][known]).mean() > 0.7
    shown = json.loads((tmp_path / "out.ipynb").read_text())
    assert any("prediction" in str(cell.get("outputs")) for cell in shown["cells"])

    rows = frame.drop(columns=target).head(60)
    records = json.loads(rows.to_json(orient="records", date_format="iso", double_precision=15))
    split = json.loads(rows.to_json(orient="split", index=False, date_format="iso", double_precision=15))
    with serve_model("models:/real/1", store) as address:
        assert post(address, {"dataframe_records": records}) == here["answers"][:60]
        assert post(address, {"dataframe_split": split}) == here["answers"][:60]
        shuffled = [dict(reversed(record.items())) for record in records]
        assert post(address, {"dataframe_records": shuffled}) == here["answers"][:60]
        if "probabilities" in here:
            given = post(address, {"dataframe_records": records, "params": {"probabilities": True}})
            assert [list(row.values()) for row in given] == here["probabilities"][:60]


@pytest.mark.slow
def test_what_the_model_contract_says_of_odd_rows(
    execute: Callable[..., Any], store: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    """A new category, an optional column left out, another order, a whole number for a fraction, a required column gone."""
    import mlflow

    path, target = penguins(tmp_path)
    done = execute(TRAIN, "out.ipynb", "-p", "dataset", path, "-p", "target", target, "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    (output,) = all_runs(look())[0].outputs.model_outputs
    model = mlflow.pyfunc.load_model(look().get_logged_model(output.model_id).artifact_location)
    signature = {spec.name: (str(spec.type), spec.required) for spec in model.metadata.signature.inputs}
    assert signature["island"] == ("Any", True)
    assert signature["sex"] == ("Any", True)  # its NA is a text
    assert signature["bill_length_mm"] == ("DataType.double", False)
    assert signature["year"] == ("Any", True)

    rows = pd.read_csv(path).drop(columns=target).head(20)
    answers = model.predict(rows).tolist()
    assert model.predict(rows[sorted(rows.columns)]).tolist() == answers
    given = model.predict(rows.assign(sex="NA"), params={"probabilities": True})
    missing = model.predict(rows.assign(sex=None), params={"probabilities": True})
    assert given.equals(missing)
    assert model.predict(rows.assign(bill_length_mm=None)).tolist() == model.predict(rows.drop(columns="bill_length_mm")).tolist()
    assert model.predict(rows.assign(year=rows.year + 0.25)).tolist() == model.predict(rows.assign(year=rows.year + 0.3)).tolist()
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        model.predict(rows.drop(columns="island"))
    whole = rows.assign(bill_length_mm=[40] * 20)
    with pytest.raises(mlflow.MlflowException, match="Can not safely convert int64 to float64"):
        model.predict(whole)
    fractions = model.predict(whole.astype({"bill_length_mm": float}))
    with serve_model(look().get_logged_model(output.model_id).artifact_location, store) as address:
        assert post(address, {"dataframe_records": json.loads(whole.to_json(orient="records"))}) == fractions.tolist()
