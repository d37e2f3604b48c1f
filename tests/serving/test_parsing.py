"""Parsing: generated JSON and CSV requests get the same answer as from MLflow in the same process, and limits hold.

The table of conversions lists where MLflow differs: in ``instances`` and ``inputs``, so these have usual values here.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.support.packages import Packaged

from boostlab.models.signature import state_types
from boostlab.serving.errors import RequestError
from boostlab.serving.model import ServedModel

USUAL: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(-1e30, 1e30) | st.integers(-(2**53), 2**53),
    "boolean": st.booleans(),
    "string": st.sampled_from(["Faro", "Porto, PT", 'say "x"', "elsewhere", "true", "false"]),
    "datetime": st.datetimes(pd.Timestamp("1000-01-01"), pd.Timestamp("9999-12-31")).map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}"),
}
UNUSUAL: dict[str, list[Any]] = {
    "double": [None, "1.5", "abc", True, [1], {"a": 1}, 10**30, 1e300, math.inf, math.nan, "", " 2 ", "1_0", "nan"],
    "boolean": [None, 0, 1, 2.5, "true", "false", "", "no", "FALSE", [1], [], math.nan],
    "string": [None, 3, 3.0, 2.5, math.nan, [1], "", "nan", "None", "2020-01-05"],
    "datetime": [None, "abc", "2020-13-01", "", True, 5, "NaT", "2020-04-23T06:30:15Z", "9999-12-31", "1500-01-01", math.nan],
}
FORMATS = ["dataframe_split", "dataframe_records", "instances", "inputs", "instances by column", "inputs by column"]


@pytest.fixture(scope="module")
def pairs(package: Callable[[str], Packaged], tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ServedModel]]:
    """Return models, each loaded by MLflow as its image has it, and by our server."""
    import mlflow.pyfunc

    found = []
    for name in ("own", "own_classes", "iris", "diabetes"):
        image = shutil.copytree(package(name)[0], tmp_path_factory.mktemp(name) / "model")
        state_types(image)
        found.append((mlflow.pyfunc.load_model(str(image)), ServedModel(package(name)[0])))
    return found


def ask_mlflow(model: Any, body: bytes, content_type: str) -> tuple[int, Any]:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    try:
        answer = invocations(body, content_type, model, model.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), None
    return answer.status, json.loads(answer.response)["predictions"]


def ask_us(model: ServedModel, body: bytes, content_type: str) -> tuple[int, Any]:
    try:
        return 200, json.loads(model.answer(body, content_type)[0])["predictions"]
    except RequestError as error:
        return error.status, None


@st.composite
def requests(draw: st.DrawFn, model: ServedModel) -> dict[str, Any]:
    """Draw rows with at most one column of unusual values, in one of the formats."""
    count = draw(st.integers(1, 3))
    form = draw(st.sampled_from(FORMATS))
    unusual = draw(st.sampled_from([item.name for item in model.features]))
    columns = {}
    for item in model.features:
        usual = USUAL[item.mlflow_type]
        if item.name == unusual and form.startswith("dataframe"):
            usual |= st.sampled_from(UNUSUAL[item.mlflow_type])
        columns[item.name] = draw(st.lists(usual, min_size=count, max_size=count))
    if draw(st.integers(0, 9)) == 0:
        del columns[unusual]
    if draw(st.integers(0, 9)) == 0:
        columns["not a feature"] = draw(st.lists(st.none() | st.text(max_size=3) | st.integers(), min_size=count, max_size=count))
    order = draw(st.permutations(list(columns)))
    return {"columns": {name: columns[name] for name in order}, "format": form}


def write_json(columns: dict[str, list[Any]], format_: str) -> bytes:
    rows = list(zip(*columns.values(), strict=True))
    key, _, by_column = format_.partition(" by ")
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    table = {"columns": list(columns), "data": rows}
    return json.dumps({key: columns if by_column else table if key == "dataframe_split" else records}).encode()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_answers_to_the_last_bit_what_mlflow_answers(pairs: list[tuple[Any, ServedModel]], data: st.DataObject) -> None:
    theirs, ours = data.draw(st.sampled_from(pairs))
    request = data.draw(requests(ours))
    body = write_json(request["columns"], request["format"])

    assert ask_us(ours, body, "application/json") == ask_mlflow(theirs, body, "application/json")


CELLS = st.sampled_from(["1", "-2.5", "1e3", " 3", "nan", "NA", "", "abc", "1_0", "inf", "0x1", "5.", ".5", "1e400", "+7"])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=4), drop=st.booleans())
def test_reads_csv_as_mlflow_does(pairs: list[tuple[Any, ServedModel]], rows: list[list[str]], drop: bool) -> None:
    theirs, ours = pairs[2]
    names = [item.name for item in ours.features][: 3 if drop else 4]
    out = io.StringIO()
    csv.writer(out).writerows([names, *(row[: len(names)] for row in rows)])
    body = out.getvalue().encode()

    assert ask_us(ours, body, "text/csv") == ask_mlflow(theirs, body, "text/csv")


def refuse(model: ServedModel, body: bytes, content_type: str = "application/json") -> RequestError:
    with pytest.raises(RequestError) as raised:
        model.answer(body, content_type)
    assert len(raised.value.to_json()) <= 2000
    return raised.value


ROW = {"sepal length (cm)": 5.1, "sepal width (cm)": 3.5, "petal length (cm)": 1.4, "petal width (cm)": 0.2}


@pytest.mark.parametrize("form", ["dataframe_records", "instances", "inputs"])
@pytest.mark.parametrize("wrong", [None, 5, "x", [1, 2, 3, 4]])
def test_refuses_a_record_that_is_no_object(pairs: list[tuple[Any, ServedModel]], form: str, wrong: Any) -> None:
    error = refuse(pairs[2][1], json.dumps({form: [ROW, wrong]}).encode())

    assert error.body["row"] == 2
    assert str(error).startswith(f"Row 2 is {wrong!r}. A row is a JSON object")


@pytest.mark.parametrize("short", [[5.1, 3.5, 1.4], [5.1, 3.5, 1.4, 0.2, 1.0], None])
def test_refuses_a_row_of_another_length(pairs: list[tuple[Any, ServedModel]], short: Any) -> None:
    split = {"columns": list(ROW), "data": [list(ROW.values()), short]}
    assert refuse(pairs[2][1], json.dumps({"dataframe_split": split}).encode()).body["row"] == 2
    if short:
        lines = [",".join(map(str, row)) for row in (ROW, ROW.values(), short)]
        assert refuse(pairs[2][1], "\n".join(lines).encode(), "text/csv").body["row"] == 2


def test_refuses_two_columns_of_one_name(pairs: list[tuple[Any, ServedModel]]) -> None:
    assert "same name" in str(refuse(pairs[2][1], b"petal width (cm),petal width (cm)\n1,2\n", "text/csv"))


def test_names_the_row_and_the_column_of_a_wrong_value(pairs: list[tuple[Any, ServedModel]]) -> None:
    records = [ROW, ROW | {"petal width (cm)": "x" * 10_000}]
    error = refuse(pairs[2][1], json.dumps({"dataframe_records": records}).encode())

    assert (error.body["row"], error.body["column"]) == (2, "petal width (cm)")
    assert str(error).startswith("Column 'petal width (cm)' takes numbers, not 'xxx") and len(str(error)) < 120


@pytest.mark.parametrize("start", [b"\xff", b"\xff\0", b"a", b"[", b'{"dataframe_records": [', b'{"NaN'], ids=repr)
@pytest.mark.parametrize("media_type", ["application/json", "text/csv"])
def test_the_error_of_a_bad_body_is_short(pairs: list[tuple[Any, ServedModel]], start: bytes, media_type: str) -> None:
    error = refuse(pairs[2][1], start * (10**7 // len(start)), media_type)

    assert b"\\xff\\xff" not in error.to_json() and error.status in (400, 413)


SMALL = 40  # cells: 10 rows of iris, 4 of the model with 10 columns


@pytest.mark.parametrize(
    ("media_type", "write"),
    [
        ("text/csv", lambda names, count: ",".join(names) + "\n" + (",".join("1" for _ in names) + "\n") * count),
        *(
            ("application/json", lambda names, count, form=form: json.dumps({form: [dict.fromkeys(names, 1)] * count}))
            for form in ("dataframe_records", "instances", "inputs")
        ),
        ("application/json", lambda names, count: json.dumps({"inputs": {name: [1] * count for name in names}})),
        (
            "application/json",
            lambda names, count: json.dumps({"dataframe_split": {"columns": names, "data": [[1] * len(names)] * count}}),
        ),
    ],
)
def test_limits_the_cells_of_a_request(package: Callable[[str], Packaged], media_type: str, write: Callable[..., str]) -> None:
    model = ServedModel(package("iris")[0], max_cells=SMALL)

    assert len(json.loads(model.answer(write(list(ROW), 10).encode(), media_type)[0])["predictions"]) == 10
    for count in (11, 10_000):
        error = refuse(model, write(list(ROW), count).encode(), media_type)
        assert error.status == 413
        assert "more than 10 rows. A row of this model has 4 cells, and the server takes at most 40 cells" in str(error)
