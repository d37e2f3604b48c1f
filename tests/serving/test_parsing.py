"""The served model against MLflow itself, in one process: whatever is sent, the same answer."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.support.packages import Packaged

from boostlab.models.contract import Feature
from boostlab.models.predictor import encode_date
from boostlab.serving.errors import RequestError
from boostlab.serving.model import ServedModel
from boostlab.serving.schema import parse_date

FINE: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(-1e30, 1e30) | st.integers(-(2**53), 2**53),
    "long": st.integers(-(2**62), 2**62),
    "boolean": st.booleans(),
    "string": st.sampled_from(["Faro", "Porto, PT", 'say "x"', "elsewhere", "true", "false"]),
    "datetime": st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")).map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}"),
}
ODD: dict[str, list[Any]] = {
    "double": [None, "1.5", "abc", True, [1], {"a": 1}, 10**30, 1e300, math.inf, math.nan, "", " 2 ", "1_0", "nan"],
    "long": [2.5, None, "3", "3.5", True, [1], "", math.nan],
    "boolean": [None, 0, 1, 2.5, "true", "false", "", [1], [], math.nan],
    "string": [None, 3, 3.0, 2.5, True, math.nan, [1], "", "nan", "None", "2020-01-05"],
    "datetime": [None, "abc", "2020-13-01", "", True, "NaT", "2020-04-23T06:30:15Z", math.nan],
}
FORMS = ["dataframe_split", "dataframe_records", "instances", "inputs", "instances by column", "inputs by column"]


@pytest.fixture(scope="module")
def pairs(package: Callable[[str], Packaged]) -> list[tuple[Any, ServedModel]]:
    """Return models, each as MLflow loads it and as we do."""
    import mlflow.pyfunc

    folders = [package(name)[0] for name in ("own", "own_classes", "iris", "diabetes")]
    return [(mlflow.pyfunc.load_model(str(folder)), ServedModel(folder)) for folder in folders]


def ask_mlflow(model: Any, body: bytes, kind: str) -> tuple[int, Any]:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    try:
        answer = invocations(body, kind, model, model.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), None
    return answer.status, json.loads(answer.response)["predictions"]


def ask_us(model: ServedModel, body: bytes, kind: str) -> tuple[int, Any]:
    try:
        return 200, json.loads(model.answer(body, kind)[0])["predictions"]
    except RequestError as error:
        return error.status, None


@st.composite
def requests(draw: st.DrawFn, model: ServedModel) -> dict[str, Any]:
    """Draw some rows of which at most one column is odd, in one of the formats."""
    count = draw(st.integers(1, 3))
    odd = draw(st.sampled_from([item.name for item in model.features]))
    columns = {}
    for item in model.features:
        fine = FINE[item.mlflow_type]
        if item.mlflow_type == "string" and item.type == "boolean":
            fine = st.sampled_from(["true", "false", "True", "0"])
        if item.name == odd:
            fine |= st.sampled_from(ODD[item.mlflow_type])
        columns[item.name] = draw(st.lists(fine, min_size=count, max_size=count))
    if draw(st.integers(0, 9)) == 0:
        del columns[odd]
    if draw(st.integers(0, 9)) == 0:
        columns["of no use"] = draw(st.lists(st.none() | st.text(max_size=3) | st.integers(), min_size=count, max_size=count))
    order = draw(st.permutations(list(columns)))
    return {"columns": {name: columns[name] for name in order}, "form": draw(st.sampled_from(FORMS))}


def write_json(columns: dict[str, list[Any]], form: str) -> bytes:
    rows = list(zip(*columns.values(), strict=True))
    key, _, by_column = form.partition(" by ")
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
    body = write_json(request["columns"], request["form"])

    assert ask_us(ours, body, "application/json") == ask_mlflow(theirs, body, "application/json")


CELLS = st.sampled_from(["1", "-2.5", "1e3", " 3", "nan", "NA", "", "abc", "1_0", "inf", "0x1", "5.", ".5", "1e400", "+7"])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=4), drop=st.booleans())
def test_reads_csv_as_mlflow_does(pairs: list[tuple[Any, ServedModel]], rows: list[list[str]], drop: bool) -> None:
    theirs, ours = pairs[2]
    names = [item.name for item in ours.features][: 3 if drop else 4]
    out = io.StringIO()
    csv.writer(out).writerows([names, *(row[: len(names)] for row in rows)])
    body = out.getvalue().encode()

    assert ask_us(ours, body, "text/csv") == ask_mlflow(theirs, body, "text/csv")


TIMES = st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01"))
WRITTEN = ["%Y-%m-%d", "%Y%m%d", "%Y-%m", "%Y", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H"]


@settings(deadline=None)
@given(
    moment=TIMES,
    form=st.sampled_from(WRITTEN),
    zone=st.sampled_from(["", "Z", "+02:00", "-0530", "+01"]),
    digits=st.sampled_from(["", "123"]),
)
def test_reads_dates_as_pandas_does(moment: Any, form: str, zone: str, digits: str) -> None:
    text = moment.strftime(form) + (digits if form.endswith("%f") else "") + (zone if "%H:" in form else "")
    if len(text.partition("-")[0]) < 4:
        return

    read = parse_date(text)

    assert read == pd.to_datetime([text], format="ISO8601", utc=True).tz_localize(None).to_numpy()[0]


@pytest.mark.parametrize(
    "text", ["", "5", "01/02/2020", "2020-13-01", "2020-02-30", "tomorrow", "2020-01-01T25:00", "２０２０-01-01"]
)
def test_refuses_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_date(text)


def test_encodes_dates_as_text_like_the_predictor(package: Callable[[str], Packaged]) -> None:
    feature = Feature("x", "date", "string", parts=("year", "month", "day", "weekday", "hour", "days"))
    texts = ["2020-02-29T23:59:59.999999", None, "1969-12-31", "2024-01-01T00:00+05:30", "2020-01-01T00:00:00.123456789"]
    model = ServedModel(package("own")[0])

    ours = model._encode_column(np.array(texts, object), feature)

    assert np.array_equal(ours, encode_date(pd.Series(texts), feature), equal_nan=True)


def test_answers_as_a_booster_does_that_cannot_be_asked_in_place(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    """DART rounds differently without a DMatrix, and a linear model has no such way at all."""
    import shutil

    import xgboost as xgb

    folder, predictor, split = package("diabetes")
    shutil.copytree(folder, tmp_path / "model")
    rows = split.test.head(50)
    for booster in ("dart", "gblinear"):
        matrix = xgb.DMatrix(rows.to_numpy(np.float32), label=np.arange(50.0), feature_names=predictor.booster.feature_names)
        made = xgb.train({"booster": booster, "nthread": 1}, matrix, 5)
        made.save_model(tmp_path / "model" / "data" / "model_data" / "model.ubj")
        served = ServedModel(tmp_path / "model")
        body = json.dumps(
            {"dataframe_split": json.loads(rows.to_json(orient="split", index=False, double_precision=15))}
        ).encode()
        assert (
            json.loads(served.answer(body, "application/json")[0])["predictions"] == made.predict(matrix).astype(float).tolist()
        )
