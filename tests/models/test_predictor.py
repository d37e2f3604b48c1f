from __future__ import annotations

import ast
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

import boostlab.models.predictor
from boostlab.models.contract import Contract, Feature, FeatureType
from boostlab.models.predictor import Predictor, encode_rows, input_names, input_types, load_predictor, safe_names

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "b": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]})
BINARY = {"objective": "binary:logistic"}
MULTICLASS = {"objective": "multi:softprob", "num_class": 3}
NAN = float("nan")


def feature(name: str, kind: FeatureType = "number", **more: Any) -> Feature:
    return Feature(name, kind, "string", **more)


def encode(values: pd.Series | list[Any], kind: FeatureType, **more: Any) -> list[Any]:
    """Return a column's inputs of the booster: for each value a number, or a list of a date's parts."""
    encoded = encode_rows(pd.DataFrame({"x": values}), [feature("x", kind, **more)])
    assert encoded.dtype == np.float32
    return list((encoded[:, 0] if encoded.shape[1] == 1 else encoded).tolist())


def make_predictor(objective: dict[str, Any], target: list[float], labels: list[Any]) -> Predictor:
    params = {"eta": 1, "min_child_weight": 0, "nthread": 1, **objective}
    booster = xgb.train(params, xgb.DMatrix(ROWS, label=target), num_boost_round=5)
    features = (feature("a"), feature("b", optional=True))
    return Predictor(booster, Contract("classification" if labels else "regression", tuple(labels), features))


@pytest.fixture(scope="module")
def regressor() -> Predictor:
    return make_predictor({"objective": "reg:squarederror"}, [0, 0, 10, 10, 20, 20], [])


CLASSIFIERS = [
    *((BINARY, [0, 0, 0, 1, 1, 1], labels) for labels in (["no", "yes"], [3, 7], [False, True], [0.5, 1.5])),
    (MULTICLASS, [2, 2, 0, 0, 1, 1], ["x", "y", "z"]),
]


@pytest.mark.parametrize(("objective", "target", "labels"), CLASSIFIERS)
def test_answers_with_labels_or_their_probabilities(objective: dict[str, Any], target: list[int], labels: list[Any]) -> None:
    predictor = make_predictor(objective, [float(code) for code in target], labels)
    answers = predictor.predict(ROWS)
    probabilities = predictor.predict(ROWS, {"probabilities": True})

    assert isinstance(answers, np.ndarray) and isinstance(probabilities, pd.DataFrame)
    assert answers.tolist() == [labels[code] for code in target]
    assert {type(answer) for answer in answers.tolist()} == {type(labels[0])}
    assert list(probabilities.columns) == [str(label) for label in labels]
    assert probabilities.sum(axis=1).tolist() == pytest.approx([1.0] * 6)
    assert probabilities.to_numpy().argmax(axis=1).tolist() == target


def test_answers_with_the_value_of_a_regression_alone(regressor: Predictor) -> None:
    answers = regressor.predict(ROWS)

    assert isinstance(answers, np.ndarray) and answers.dtype == np.float64
    assert answers.tolist() == pytest.approx([0, 0, 10, 10, 20, 20], abs=0.5)
    with pytest.raises(ValueError, match="a regression model has none"):
        regressor.predict(ROWS, {"probabilities": True})


@pytest.mark.parametrize(
    "rows", [ROWS[["b", "a"]], ROWS.assign(c="text"), ROWS.astype(int), ROWS.astype(str), ROWS.set_index("a", drop=False)]
)
def test_takes_columns_in_any_order_and_more_of_them(regressor: Predictor, rows: pd.DataFrame) -> None:
    assert np.array_equal(regressor.predict(rows), regressor.predict(ROWS))


def test_numbers_for_dates_are_missing_or_refused_as_numbers_are() -> None:
    seconds = {"format": "epoch_s", "parts": ("days",), "missing": (-999.0,)}
    day, *gaps = encode([86400.0, -999, None], "date", **seconds)
    assert day == 1 and np.isnan(gaps).all()
    assert np.isnan(encode(pd.Series([-999.9], dtype="float32"), "number", missing=(-999.9,))).all()
    for wrong in (1e30, float("inf")):
        for form in ("epoch_s", "%Y%m%d"):
            with pytest.raises(ValueError, match="'x' takes dates as numbers"):
                encode([wrong], "date", **seconds | {"format": form})


def test_takes_a_missing_optional_column_for_gaps_and_refuses_rows_without_a_required_one(regressor: Predictor) -> None:
    assert np.array_equal(regressor.predict(ROWS[["a"]]), regressor.predict(ROWS.assign(b=np.nan)))
    with pytest.raises(ValueError, match=r"^Columns missing: a\. The model needs: a\.$"):
        regressor.predict(ROWS[["b"]])


DATES = ["2020-02-03T04:30", None, "2021-12-31"]
SIX = ["year", "month", "day", "weekday", "hour", "days"]
ENCODED = [[2020, 2, 3, 0, 4, 18295.1875], [NAN] * 6, [2021, 12, 31, 4, 0, 18992]]
CITIES = ["3", "Faro", "True"]
OWN = ("contract", "conversion", "dates")  # modules that travel with a model


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("number", ["1.5", " 2 ", None, "1e3", ""], [1.5, 2, NAN, 1000, NAN]),
        ("number", [Decimal("1.5"), None], [1.5, NAN]),
        ("number", pd.Series([1, None], dtype="Int64"), [1, NAN]),
        ("number", pd.Series([1, None], dtype="category"), [1, NAN]),
        ("number", [None, None], [NAN, NAN]),
        ("boolean", ["true", "False", None, "1", "0.0"], [1, 0, NAN, 1, 0]),
        ("boolean", [True, None, False], [1, NAN, 0]),
        ("boolean", pd.Series([True, None], dtype="boolean"), [1, NAN]),
        ("boolean", pd.Series(["true", None], dtype="category"), [1, NAN]),
        ("boolean", [1.0, NAN, 0.0], [1, NAN, 0]),
        ("category", ["Faro", "Braga", None], [1, NAN, NAN]),
        ("category", pd.Series(["Braga", "Faro", None], dtype="category"), [NAN, 1, NAN]),
        ("category", pd.Series([4, 3, None], dtype="category"), [NAN, 0, NAN]),
        ("category", [3, 4], [0, NAN]),
        ("category", [True, None], [2, NAN]),
        ("category", [3, "Faro", None], [0, 1, NAN]),  # numbers and text in one column
        ("category", [3.0, None], [0, NAN]),  # what pandas makes of whole numbers with a gap
        ("date", DATES, ENCODED),
        ("date", pd.to_datetime(pd.Series(DATES), format="ISO8601"), ENCODED),
        ("date", pd.to_datetime(pd.Series(DATES), format="ISO8601").dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"), ENCODED),
        ("date", ["2020-02-03T09:30+05:00", None, "2021-12-31T00:00Z"], ENCODED),
        ("date", [None, date(2021, 12, 31)], ENCODED[1:]),
        ("date", pd.Series([None, "2021-12-31"], dtype="category"), ENCODED[1:]),
        ("date", [None], [[NAN] * 6]),
    ],
)
def test_encodes_each_kind_of_column(kind: FeatureType, values: pd.Series | list[Any], expected: list[Any]) -> None:
    more: dict[str, Any] = {"category": {"categories": tuple(CITIES)}, "date": {"parts": tuple(SIX)}}.get(kind, {})

    assert np.array_equal(encode(values, kind, **more), expected, equal_nan=True)


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "date"])
def test_encodes_no_rows(kind: FeatureType) -> None:
    assert encode([], kind, categories=(), parts=("days",)) == []


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("number", ["1.5", "about 2"], "'x' takes numbers, not 'about 2'"),
        ("number", pd.to_datetime(["2020-01-01"]), "'x' takes numbers, not "),
        ("number", [1.5, -np.inf], r"'x' takes finite numbers up to 3.4e38, not -inf \(row 2\)"),
        ("number", ["inf"], "'x' takes finite numbers"),
        ("number", [1e300], "'x' takes finite numbers up to 3.4e38, not 1e\\+300"),
        ("boolean", ["true", "yes"], r"'x' takes true or false, not 'yes' \(row 2\)"),
        ("category", [True, "a"], "'x' takes text, not True"),
        ("category", ["a", [1]], r"'x' takes text, not \[1\]"),
        ("category", pd.to_datetime(["2020-01-01"]), "'x' takes text, not Timestamp"),
        ("boolean", [1, 2], "'x' takes true or false, not "),
        ("date", ["2020-01-01", "01/02/2020"], "'x' takes dates such as 2026-01-31"),
        ("date", [5.5], "'x' takes dates"),
    ],
)
def test_refuses_a_value_of_another_kind(kind: FeatureType, values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^Column {words}"):
        encode(values, kind, parts=("days",))


def test_gives_a_date_an_input_for_each_part_that_the_model_knows() -> None:
    features = [
        feature("day", "date", parts=("month", "days")),
        feature("city", "category", categories=tuple(CITIES)),
        feature("a"),
    ]
    encoded = encode_rows(pd.DataFrame({"a": [7], "city": ["Faro"], "day": ["2020-02-03"]}), features)

    assert dict(zip(input_names(features), encoded[0].tolist(), strict=True)) == {
        "day.month": 2, "day.days": 18295, "city": 1, "a": 7,
    }  # fmt: skip
    assert input_types(features) == ["q", "q", "c", "q"]


@pytest.mark.parametrize("names", [["a[m]", "b<c", "b>c"], ["a[", "a(", "a]"], ["a[", "a(", "a(~2"], [" ", "é ü", "f0"]])
def test_gives_xgboost_names_that_it_takes(names: list[str]) -> None:
    safe = safe_names([feature(name) for name in names])
    xgb.DMatrix(np.zeros((1, 3)), feature_names=safe)

    assert len(set(safe)) == 3


def test_answers_alike_after_it_was_loaded(regressor: Predictor, tmp_path: Path) -> None:
    regressor.booster.save_model(tmp_path / "model.ubj")
    regressor.contract.write(tmp_path)

    assert np.array_equal(load_predictor(tmp_path).predict(ROWS), regressor.predict(ROWS))


@pytest.mark.parametrize(
    ("module", "packages"),
    [
        (
            "predictor",
            {
                "collections.abc",
                "functools",
                "json",
                "pathlib",
                "typing",
                "numpy",
                "pandas",
                "xgboost",
                *OWN,
                "answers",
                "booster",
                "contributions",
            },
        ),
        ("answers", {"typing", "numpy", "contract"}),
        ("contributions", {"collections.abc", "typing", "numpy", "contract", "conversion"}),
        ("booster", {"collections.abc", "importlib.util", "pathlib", "re", "typing", "numpy", "xgboost", "contract", "ubjson"}),
        ("ubjson", {"struct", "typing", "numpy"}),
        ("conversion", {"collections.abc", "contextlib", "decimal", "functools", "reprlib", "typing", "numpy", "contract"}),
        ("dates", {"collections.abc", "contextlib", "datetime", "functools", "re", "typing", "numpy", "contract", "conversion"}),
        ("contract", {"collections.abc", "dataclasses", "json", "pathlib", "typing"}),
    ],
)
def test_imports_nothing_that_a_served_model_lacks(module: str, packages: set[str]) -> None:
    source = Path(boostlab.models.predictor.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}

    assert imported == packages | {"__future__"}
