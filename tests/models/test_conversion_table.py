"""Each cell of the table of conversions, as each way of asking answers it: Python, MLflow's server, the lean server, score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import xgboost as xgb
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from tests.support.servers import serve_model
from tests.support.serving import CSV, JSON, serve

from boostlab.errors import DataError
from boostlab.models.contract import Contract, Feature
from boostlab.models.conversion_table import (
    ARROW_VALUES,
    DIFFERENCES,
    FEATURES,
    IMAGE_CSV,
    JSON_VALUES,
    PYTHON,
    SCORE,
    SERVE,
    TENSORS,
    TEXTS,
    tabulate_arrow,
    tabulate_json,
)
from boostlab.models.loading import wrap_predictor
from boostlab.models.packaging import package_model, write_model
from boostlab.models.predictor import Predictor, encode_rows, input_types, safe_names
from boostlab.models.signature import state_types
from boostlab.scoring.scorer import score_file

NAMES = [feature.name for feature in FEATURES]
DAYS = {"a": "2026-01-31", "b": "2026-01-31T12:30:00", "c": "2026-01-31T10:30:00", "z": "9999-12-31", "m": "1500-06-01"}
SECONDS = {"0": "1970-01-01", "1": "1970-01-01T00:00:01", "3": "1970-01-01T00:00:03", "2": "1970-01-01T00:00:02"}
SECONDS |= {"2.5": "1970-01-01T00:00:02.500000", "-1": "1969-12-31T23:59:59", "100": "1970-01-01T00:01:40"}
SECONDS |= {"d": "1970-08-23T11:48:51", "y": "2023-11-14T22:13:20"}
# What becomes of each JSON value: in a column of numbers, booleans, text, whole categories; in dates as ISO 8601, as %d/%m/%Y, as
# seconds, as %Y%m%d. A dot is refused, a dash is missing; a, b, c, d, m, y and z are the dates above.
EXPECTED = {
    "null": "-  -  -  -  -  -  -  -",
    "NaN": "-  -  -  -  -  -  -  -",
    "true": "1  true  .  1  .  .  .  .",
    "false": "0  false  .  -  .  .  .  .",
    "0": "0  false  -  -  .  .  0  .",
    "1": "1  true  -  1  .  .  1  .",
    "3": "3  .  3  3  .  .  3  .",
    "3.0": "3  .  3  3  .  .  3  .",
    "2.5": "2.5  .  -  -  .  .  2.5  .",
    "-1": "-1  .  -  -  .  .  -1  .",
    "1e+300": ".  .  -  -  .  .  .  .",
    "Infinity": ".  .  -  -  .  .  .  .",
    "20260131": "20260132  .  -  -  .  .  d  a",
    "1700000000": "1.7e+09  .  -  -  .  .  y  .",
    "[1]": ".  .  .  .  .  .  .  .",
    '{"a": 1}': ".  .  .  .  .  .  .  .",
    '""': "-  -  -  -  -  -  -  -",
    '" 2 "': "2  .  -  2  .  .  2  .",
    '"1"': "1  true  -  1  .  .  1  .",
    '"0"': "0  false  -  -  .  .  0  .",
    '"1.0"': "1  true  -  1  .  .  1  .",
    '"1e2"': "100  .  -  -  .  .  100  .",
    '"1_0"': ".  .  -  -  .  .  .  .",
    '"１"': ".  .  -  -  .  .  .  .",
    '"inf"': ".  .  -  -  .  .  .  .",
    '"nan"': "-  -  -  -  -  -  -  -",
    '"NA"': "-  -  -  -  -  -  -  -",
    '"None"': "-  -  None  -  -  -  -  -",
    '"true"': ".  true  -  -  .  .  .  .",
    '"FALSE"': ".  false  -  -  .  .  .  .",
    '"no"': ".  .  -  -  .  .  .  .",
    '"Faro"': ".  .  Faro  -  .  .  .  .",
    '"3.0"': "3  .  -  3  .  .  3  .",
    '"03"': "3  .  -  3  .  .  3  .",
    '"2026-01-31"': ".  .  -  -  a  a  .  .",
    '"2026-01-31T12:30:00"': ".  .  -  -  b  b  .  .",
    '"2026-01-31 12:30+02:00"': ".  .  -  -  c  c  .  .",
    '"2026/01/31"': ".  .  -  -  a  a  .  .",
    '"31/01/2026"': ".  .  -  -  .  a  .  .",
    '"01/31/2026"': ".  .  -  -  .  .  .  .",
    '"9999-12-31"': ".  .  -  -  z  z  .  .",
    '"1500-06-01"': ".  .  -  -  m  m  .  .",
    '"2026-02-30"': ".  .  -  -  .  .  .  .",
    '"20260131"': "20260132  .  -  -  a  a  d  a",
    '"1700000000"': "1.7e+09  .  -  -  .  .  y  .",
}
EXPECTED_ARROW = {
    "null": "-  -  -  -  -  -  -  -",
    "bool true": "1  true  .  1  .  .  .  .",
    "int64 3": "3  .  3  3  .  .  3  .",
    "float64 2.5": "2.5  .  -  -  .  .  2.5  .",
    "decimal 1.00": "1  true  -  1  .  .  1  .",
    "string Faro": ".  .  Faro  -  .  .  .  .",
    "dictionary of strings, Faro": ".  .  Faro  -  .  .  .  .",
    "timestamp 2026-01-31 12:30": ".  .  .  .  b  b  b  b",
    "timestamp 12:30 UTC": ".  .  .  .  b  b  b  b",
    "timestamp 9999-12-31": ".  .  .  .  z  z  z  z",
    "date32 1500-06-01": ".  .  .  .  m  m  m  m",
    "list [1]": ".  .  .  .  .  .  .  .",
}
Cells = dict[tuple[str, str], str]
Answer = Callable[[dict[str, Any]], "float | None"]


def expand(expected: dict[str, str]) -> Cells:
    """Return the outcome of each value, as shown, in each column."""
    cells: Cells = {}
    for shown, line in expected.items():
        for feature, mark in zip([item for item in FEATURES if item.name != "fraction"], line.split(), strict=True):
            if feature.type == "date":
                outcome = (DAYS | (SECONDS if feature.format == "epoch_s" else {})).get(mark, SECONDS.get(mark, mark))
            else:
                outcome = mark
            cells[shown, feature.name] = {".": "refused", "-": "missing"}.get(mark, outcome)
        cells[shown, "fraction"] = cells[shown, "number"]
    return cells


def test_the_table_of_the_documentation_says_what_is_expected() -> None:
    for rows, expected in ((tabulate_json(), EXPECTED), (tabulate_arrow(), EXPECTED_ARROW)):
        shown = {(row[0], name): cell for row in rows for name, cell in zip(NAMES, row[1:], strict=True)}
        assert shown == expand(expected)


def canonical(outcome: str, feature: Feature) -> Any:
    """Return the value that nobody can misread for an outcome."""
    if outcome == "missing":
        return None
    if feature.type == "boolean":
        return outcome == "true"
    return {"number": float, "date": np.datetime64}.get(feature.type, str)(outcome)


def canonical_row(outcomes: dict[str, str]) -> pd.DataFrame:
    row = {}
    for feature in FEATURES:
        value = canonical(outcomes.get(feature.name, "missing"), feature)
        is_float = feature.type == "number" or feature.name == "whole category"
        dtype: Any = float if is_float else "datetime64[us]" if feature.type == "date" else object
        row[feature.name] = pd.Series([value], dtype=dtype)
    return pd.DataFrame(row)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    """Return a model that answers differently to each outcome of each column."""
    outcomes = {name: sorted(OUTCOMES[name]) for name in NAMES}
    draw = np.random.default_rng(0)
    values = {(name, outcome): draw.normal() for name in NAMES for outcome in outcomes[name]}
    frames, target = [], []
    for name in NAMES:
        for outcome in outcomes[name]:
            frames.append(canonical_row({name: outcome}))
            target.append(values[name, outcome])
    rows = pd.concat(frames, ignore_index=True)
    matrix = xgb.DMatrix(
        encode_rows(rows, FEATURES),
        label=target,
        feature_names=safe_names(FEATURES),
        feature_types=input_types(FEATURES),
        enable_categorical=True,
    )
    parameters = {
        "max_depth": 12,
        "eta": 0.9,
        "min_child_weight": 0,
        "lambda": 0,
        "max_cat_to_onehot": 9,
        "nthread": 1,
        "max_bin": 999,
    }
    predictor = Predictor(xgb.train(parameters, matrix, 30), Contract("regression", (), FEATURES))
    for name in NAMES:
        answers = [predictor.predict(canonical_row({name: outcome}))[0] for outcome in outcomes[name]]
        assert len(set(answers)) == len(answers), name
    folder = tmp_path_factory.mktemp("table")
    example = pd.DataFrame({item.name: [None] for item in FEATURES})
    write_model(predictor, example.astype({"number": float, "fraction": float}), folder / "parts")
    package_model(folder / "parts", folder / "model", mlflow_model=Model())
    return folder / "model", predictor


ALL = [*(expand(EXPECTED) | expand(EXPECTED_ARROW)).items()]
ALL += [((value, name), cell) for item in DIFFERENCES for name in item.columns for value, cell in item.outcomes.items()]
OUTCOMES = {name: {cell for (_, column), cell in ALL if column == name and cell != "refused"} for name in NAMES}


@pytest.fixture(scope="module")
def read(made: tuple[Path, Predictor]) -> Callable[[str, float | None], str]:
    """Return a function that tells what the model saw in a column, from its answer; None is a refusal."""
    answers = {
        (name, made[1].predict(canonical_row({name: outcome}))[0]): outcome for name in NAMES for outcome in OUTCOMES[name]
    }
    return lambda name, answer: "refused" if answer is None else answers.get((name, answer), f"another value, answer {answer}")


@pytest.fixture(scope="module")
def mlflow_address(made: tuple[Path, Predictor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of MLflow's server for the model as it is logged."""
    with serve_model(str(made[0]), f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}") as address:
        yield address


@pytest.fixture(scope="module")
def image_address(made: tuple[Path, Predictor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of MLflow's server for the model as its image has it."""
    folder = tmp_path_factory.mktemp("image")
    state_types(Path(shutil.copytree(made[0], folder / "model")))
    with serve_model(str(folder / "model"), f"sqlite:///{folder / 'mlflow.db'}") as address:
        yield address


@pytest.fixture(scope="module")
def lean_address(made: tuple[Path, Predictor]) -> Iterator[str]:
    """Return the address of the lean server."""
    with serve(made[0], log_requests=0) as address:
        yield address


def bodies(name: str, value: Any) -> dict[str, Any]:
    return {
        "dataframe_split": {"columns": [name], "data": [[value]]},
        "dataframe_records": [{name: value}],
        "instances": [{name: value}],
        "inputs": {"fraction": [None], name: [value]},  # MLflow takes columns of text alone for a single row
    }


def post(address: str, session: requests.Session, body: bytes, media_type: str) -> float | None:
    answer = session.post(f"{address}/invocations", data=body, headers={"Content-Type": media_type}, timeout=60)
    assert answer.status_code in (200, 400), answer.text
    return float(answer.json()["predictions"][0]) if answer.ok else None


def write_csv(name: str, text: str) -> bytes:
    return pd.DataFrame([{other: text if other == name else "" for other in NAMES}]).to_csv(index=False).encode()


def ask_server(address: str, read: Callable[[str, float | None], str], *, csv: bool) -> dict[str, Cells]:
    """Return what a server makes of each cell, in each format."""
    session = requests.Session()
    found: dict[str, Cells] = {form: {} for form in [*bodies("", None), *(["CSV"] if csv else [])]}
    for name in NAMES:
        for value in JSON_VALUES:
            shown = json.dumps(value, ensure_ascii=False)
            for form, rows in bodies(name, value).items():
                found[form][shown, name] = read(name, post(address, session, json.dumps({form: rows}).encode(), JSON))
            if csv and value in TEXTS:
                found["CSV"][shown, name] = read(name, post(address, session, write_csv(name, value), CSV))
    return found


@cache
def expect(*ways: str) -> Cells:
    """Return the cells of the table, with the listed differences of some ways of asking."""
    assert set(ways) <= {item.way for item in DIFFERENCES}
    cells = expand(EXPECTED)
    for item in DIFFERENCES:
        changes = {(shown, name): outcome for shown, outcome in item.outcomes.items() for name in item.columns}
        if item.way in ways:
            assert all(cells[cell] != outcome for cell, outcome in changes.items()), "no difference: remove it from the list"
            cells |= changes
    return cells


def list_wrong(found: Cells, expected: Cells) -> dict[tuple[str, str], str]:
    """Return the cells that are not as expected, by column and value."""
    return {cell: f"{seen}, not {expected[cell]}" for cell, seen in found.items() if seen != expected[cell]}


@pytest.mark.slow
def test_the_lean_server_answers_each_cell(lean_address: str, read: Callable[[str, float | None], str]) -> None:
    for form, found in ask_server(lean_address, read, csv=True).items():
        assert list_wrong(found, expect()) == {}, form


@pytest.mark.slow
def test_mlflows_server_answers_each_cell(mlflow_address: str, read: Callable[[str, float | None], str]) -> None:
    for form, found in ask_server(mlflow_address, read, csv=False).items():
        assert list_wrong(found, expect(SERVE)) == {}, form


@pytest.mark.slow
def test_mlflows_server_in_an_image_answers_each_cell(image_address: str, read: Callable[[str, float | None], str]) -> None:
    for form, found in ask_server(image_address, read, csv=True).items():
        ways = [TENSORS] if form in ("instances", "inputs") else [IMAGE_CSV] if form == "CSV" else []
        assert list_wrong(found, expect(*ways)) == {}, form


def ask_model(model: Any, frame: pd.DataFrame) -> float | None:
    try:
        return float(model.predict(frame)[0])
    except (ValueError, MlflowException):
        return None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_answers_each_cell(made: tuple[Path, Predictor], read: Callable[[str, float | None], str]) -> None:
    logged, predictor = mlflow.pyfunc.load_model(str(made[0])), wrap_predictor(made[0])
    for name in NAMES:
        for value in JSON_VALUES:
            cell = (json.dumps(value, ensure_ascii=False), name)
            column, mixed = pd.DataFrame({name: [value]}), pd.DataFrame({name: pd.Series([value], dtype=object)})
            assert read(name, ask_model(predictor, column)) == read(name, ask_model(predictor, mixed)) == expect()[cell], cell
            assert read(name, ask_model(logged, column)) == expect(PYTHON)[cell], cell


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_score_answers_each_cell(
    made: tuple[Path, Predictor], read: Callable[[str, float | None], str], tmp_path: Path, suffix: str
) -> None:
    model, contract = wrap_predictor(made[0]), Contract.read_model(made[0])
    rows, output = tmp_path / f"rows.{suffix}", tmp_path / "out.parquet"
    expected = expect(SCORE) if suffix == "csv" else expand(EXPECTED_ARROW)
    found: Cells = {}
    for name in NAMES:
        for sent in TEXTS if suffix == "csv" else ARROW_VALUES:
            if suffix == "csv":
                rows.write_bytes(write_csv(name, sent))
            else:
                value, arrow_type = ARROW_VALUES[sent]
                pq.write_table(pa.table({name: pa.array([value], arrow_type)}), rows)
            try:
                score_file(model, contract, rows=str(rows), output=output)
                answer = float(pq.read_table(output)["prediction"][0].as_py())
            except DataError:
                answer = None
            found[json.dumps(sent, ensure_ascii=False) if suffix == "csv" else sent, name] = read(name, answer)

    assert list_wrong(found, expected) == {}
