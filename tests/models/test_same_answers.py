"""The same row gets the same answer in every way of asking, whatever the table: types, dialects, gaps and names are drawn."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.packages import make_package
from tests.support.settings import make_settings

from boostlab.models.contract import MISSING_MARKERS, Contract
from boostlab.models.signature import state_types
from boostlab.scoring.scorer import score_file
from boostlab.serving.model import ServedModel

EXAMPLES = int(os.environ.get("BOOSTLAB_EXAMPLES", "2000"))  # rows; 50,000 before a release
ROWS = 50  # of a table
NAMES = ["x", "a b", "x[1]", "größe", "a,b", 'q"q', "<y>", "Ω;", "1", "x.y", "None", "true"]
WORDS = ["Porto", "Faro", "NA", "None", "null", "é ü", "a,b", "a;b", 'say "x"', "01", "two\nlines", "TRUE", "1e5", " lead"]
DATES = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%b %d, %Y", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d"]
JSON, CSV = "application/json", "text/csv"
Draw = np.random.Generator


@dataclass
class Drawn:
    """A column: its values as a client sends them in JSON, and as the user's file has them."""

    values: list[Any]
    texts: list[str]
    column_type: str = ""  # that the user states


def draw_numbers(draw: Draw, decimal: str) -> Drawn:
    scale = 10.0 ** draw.integers(-3, 6)
    values = [float(f"{value:.6g}") for value in draw.normal(0, scale, ROWS)]
    return Drawn(list(values), [repr(value).replace(".", decimal) for value in values])


def draw_whole_numbers(draw: Draw, decimal: str) -> Drawn:
    del decimal
    values = draw.integers(-5, int(10.0 ** draw.integers(1, 7)), ROWS).tolist()
    return Drawn(values, list(map(str, values)))


def draw_thousands(draw: Draw, decimal: str) -> Drawn:
    values = [round(value, 2) for value in draw.uniform(1000, 9e6, ROWS).tolist()]
    american = [f"{value:,.2f}" for value in values]
    european = [text.translate({ord(","): ".", ord("."): ","}) for text in american]
    return Drawn(list(values), american if decimal == "." else european)


def draw_truths(draw: Draw, decimal: str) -> Drawn:
    del decimal
    values = [bool(value) for value in draw.integers(0, 2, ROWS)]
    return Drawn(list(values), list(map(str, values)))


def draw_words(draw: Draw, decimal: str) -> Drawn:
    del decimal
    words = ["Lisboa", *draw.choice(WORDS, size=draw.integers(1, 7), replace=False)]  # not only numbers and words such as NA
    values = [str(word) for word in draw.choice(words, ROWS)]
    return Drawn(list(values), values)


def draw_codes(draw: Draw, decimal: str) -> Drawn:
    del decimal
    values = [f"{value:05d}" for value in draw.integers(0, 9, ROWS)]
    return Drawn(list(values), values)


def draw_numbered_categories(draw: Draw, decimal: str) -> Drawn:
    del decimal
    values = draw.integers(1, 6, ROWS).tolist()
    return Drawn(values, list(map(str, values)), "category")


def draw_dates(draw: Draw, decimal: str) -> Drawn:
    del decimal
    form = str(draw.choice(DATES))
    start = datetime(1995, 12, 31, 23, 59, 30)
    texts = [(start + timedelta(seconds=int(value))).strftime(form) for value in draw.integers(0, 10**9, ROWS)]
    return Drawn(list(texts), texts)


def draw_seconds(draw: Draw, decimal: str) -> Drawn:
    del decimal
    values = (1_700_000_000 + draw.integers(0, 10**6, ROWS) * 60).tolist()
    return Drawn(values, list(map(str, values)), "date")


KINDS: list[Callable[[Draw, str], Drawn]] = [
    *(draw_numbers, draw_whole_numbers, draw_thousands, draw_truths, draw_words),
    *(draw_codes, draw_numbered_categories, draw_dates, draw_seconds),
]


def quote(text: str, separator: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in (separator, '"', "\n")) else text


def write_csv(path: Path, columns: dict[str, list[str]], separator: str, encoding: str) -> None:
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    text = "".join(separator.join(quote(field, separator) for field in row) + "\n" for row in rows)
    path.write_bytes(text.encode(encoding))


def ask_mlflow(model: Any, body: str, media_type: str) -> Any:
    from mlflow.pyfunc.scoring_server import invocations

    return json.loads(invocations(body.encode(), media_type, model, model.metadata.get_input_schema()).response)["predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(max(EXAMPLES // ROWS, 1)))
def test_every_way_of_asking_gives_the_notebooks_answer(tmp_path: Path, seed: int) -> None:
    import mlflow.pyfunc

    draw = np.random.default_rng(seed)
    decimal = str(draw.choice([".", ","]))
    separator = str(draw.choice([";", "\t", "|"] if decimal == "," else [",", ";", "\t", "|"]))
    encoding = str(draw.choice(["utf-8", "utf-8-sig", "utf-16"]))
    names = [str(name) for name in draw.choice(NAMES, size=draw.integers(2, 6), replace=False)]
    columns = {name: KINDS[draw.integers(len(KINDS))](draw, decimal) for name in names}
    for column in columns.values():
        if draw.random() < 0.4:
            for row in draw.choice(ROWS, size=5, replace=False):
                column.values[row], column.texts[row] = None, ""
    target = draw.normal(size=ROWS)
    texts = {name: column.texts for name, column in columns.items()}
    path = tmp_path / "rows.csv"
    write_csv(path, texts | {"y": [f"{value:.3f}5".replace(".", decimal) for value in target]}, separator, encoding)

    settings = make_settings(
        dataset=str(path),
        target="y",
        keep=names,
        column_types={name: column.column_type for name, column in columns.items() if column.column_type},
        read={"separator": separator, "decimal": decimal},
        num_boost_round=5,
        min_child_weight=0.0,
        eta=0.9,
    )
    folder, predictor, split = make_package(settings, tmp_path)
    table = split.train.table
    frame = pd.concat(table.batches(predictor.contract.names, np.arange(ROWS)), ignore_index=True)
    expected = np.asarray(predictor.predict(frame)).tolist()
    assert len(set(expected)) > 1

    features = predictor.contract.features
    sent = {feature.name: columns[feature.name].values for feature in features}
    records = [dict(zip(sent, row, strict=True)) for row in zip(*sent.values(), strict=True)]
    split_body = json.dumps({"dataframe_split": {"columns": list(sent), "data": [list(row.values()) for row in records]}})
    records_body = json.dumps({"dataframe_records": records})
    csv_body = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in sent.items()}).to_csv(index=False)
    served = ServedModel(folder)
    for body, media_type in ((split_body, JSON), (records_body, JSON), (csv_body, CSV)):
        assert json.loads(served.answer(body.encode(), media_type)[0])["predictions"] == expected

    model = mlflow.pyfunc.load_model(str(folder))
    assert model.predict(pd.DataFrame(sent)).tolist() == expected
    assert ask_mlflow(model, split_body, JSON) == expected
    image = shutil.copytree(folder, tmp_path / "image")
    state_types(image)
    in_image = mlflow.pyfunc.load_model(str(image))
    assert ask_mlflow(in_image, records_body, JSON) == expected
    if not any(has_two_gaps(feature.categories, optional=feature.optional) for feature in features):
        assert ask_mlflow(in_image, csv_body, CSV) == expected

    pd.DataFrame(sent).to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        read = settings.read if name == "rows.csv" else {}
        output = tmp_path / "out.parquet"
        score_file(model, Contract.read_model(folder), rows=str(tmp_path / name), output=output, read=read, chunk_rows=7)
        assert pd.read_parquet(output)["prediction"].tolist() == expected


def has_two_gaps(categories: tuple[str, ...], *, optional: bool) -> bool:
    """Tell whether MLflow's server, which reads words such as NA in CSV as missing, cannot tell them apart."""
    return optional + len(MISSING_MARKERS & set(categories)) > 1


def test_whole_numbers_as_categories_are_answered_alike_however_they_are_written(tmp_path: Path) -> None:
    import mlflow.pyfunc

    zips = np.arange(1, ROWS + 1) % 4 + 1
    path = tmp_path / "t.csv"
    pd.DataFrame({"zip": zips, "y": np.array([5.5, 1.0, 8.0, 3.0])[zips - 1] + np.arange(ROWS) / 1000}).to_csv(path, index=False)
    settings = make_settings(
        dataset=str(path), target="y", keep=["zip"], column_types={"zip": "category"}, num_boost_round=5, min_child_weight=0.0
    )
    folder, predictor, _ = make_package(settings, tmp_path)
    model = mlflow.pyfunc.load_model(str(folder))
    expected = np.asarray(predictor.predict(pd.DataFrame({"zip": [1, 2, 3, 4, 5, None]}))).tolist()
    assert len(set(expected[:4])) == 4 and expected[4] == expected[5]  # an unknown one is missing

    for last in ("5", "x"):
        sent = ["01", "2.0", " 3 ", "4", last, None]
        frame = pd.DataFrame({"zip": sent})
        body = json.dumps({"dataframe_split": frame.to_dict("split")})
        assert np.asarray(predictor.predict(frame)).tolist() == model.predict(frame).tolist() == expected
        assert ask_mlflow(model, body, JSON) == expected
        if last == "5":  # the lean image takes numbers alone here
            assert json.loads(ServedModel(folder).answer(body.encode(), JSON)[0])["predictions"] == expected
        frame.assign(z=1).to_csv(tmp_path / "rows.csv", index=False)
        frame.to_parquet(tmp_path / "rows.parquet")
        for name in ("rows.csv", "rows.parquet"):
            score_file(model, predictor.contract, rows=str(tmp_path / name), output=tmp_path / "out.parquet")
            assert pd.read_parquet(tmp_path / "out.parquet")["prediction"].tolist() == expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_stated_types_and_rare_values_are_answered_alike(tmp_path: Path, suffix: str) -> None:
    import mlflow.pyfunc

    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(draw.choice(["S", "M", "L"], ROWS), ["S", "M", "L"], ordered=True),
            "age": np.where(draw.random(ROWS) < 0.2, -999, draw.integers(0, 90, ROWS)),
            "sold": draw.choice([20240229, 20231231, 20250101, -999], ROWS),
            "until": draw.choice(np.array(["2024-01-01", "9999-12-31", "0001-01-01"], "datetime64[us]"), ROWS),
            "y": draw.normal(size=ROWS),
        }
    )
    path = tmp_path / f"t{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    features = ["size", "age", "sold", "until"]
    settings = make_settings(
        dataset=str(path),
        target="y",
        features=features,
        read={"missing": ["-999"]},
        column_types={"sold": "date"},
        num_boost_round=5,
        min_child_weight=0.0,
    )
    folder, predictor, split = make_package(settings, tmp_path)
    ordered, age, sold, until = predictor.contract.features
    assert (ordered.categories, ordered.ordered) == (
        (("S", "M", "L"), True) if suffix == ".parquet" else (("L", "M", "S"), False)
    )
    assert (age.missing, age.any_type, sold.format, until.mlflow_type) == ((-999.0,), True, "%Y%m%d", "string")
    table = split.train.table
    rows = pd.concat(table.batches(features, np.arange(ROWS)), ignore_index=True)
    expected = np.asarray(predictor.predict(rows)).tolist()

    sent = frame.assign(size=frame["size"].astype(str), until=frame.until.map(lambda date: date.isoformat()))[features]
    body = json.dumps({"dataframe_records": sent.to_dict("records")})
    assert json.loads(ServedModel(folder).answer(body.encode(), JSON)[0])["predictions"] == expected
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.predict(sent).tolist() == expected
    assert ask_mlflow(model, body, JSON) == expected
    score_file(model, predictor.contract, rows=str(path), output=tmp_path / "out.parquet")
    scored = pd.read_parquet(tmp_path / "out.parquet")
    assert scored["prediction"].tolist() == expected
    blank = sent.assign(age=None)
    assert (
        model.predict(sent.assign(age=-999)).tolist()
        == model.predict(blank).tolist()
        == np.asarray(predictor.predict(blank)).tolist()
    )
