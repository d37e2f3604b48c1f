"""Chunks of a file: features with the types of the model's signature."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.errors import DataError
from boostlab.models.contract import Feature
from boostlab.scoring.chunks import Chunk, convert_chunk, study_features


def test_features_have_their_type_and_other_columns_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code,size,rooms\n007,1,3\nNA,,4\n")
    features = [Feature("size", "number", "double", optional=True), Feature("rooms", "number", "long")]
    source = open_source(str(tmp_path / "a.csv"), ReadSettings())
    study_features(source, features)
    chunks = list(source.batches(source.all_names, 1))
    frames = [convert_chunk(source.parser, Chunk(chunk, 1), features) for chunk in chunks]
    assert [chunk.to_pylist() for chunk in chunks] == [
        [{"code": "007", "size": "1", "rooms": "3"}],
        [{"code": "NA", "size": None, "rooms": "4"}],
    ]
    assert {name: str(dtype) for name, dtype in frames[1].dtypes.items()} == {"size": "float64", "rooms": "int64"}


@pytest.mark.parametrize(
    ("form", "numbers"),
    [("epoch_s", [1704067200.0, None]), ("epoch_ms", [1704067200000.0, None]), ("%Y%m%d", [20240101.0, None])],
)
def test_dates_become_the_numbers_that_stand_for_them(tmp_path: Path, form: str, numbers: list[float | None]) -> None:
    day = date(2024, 1, 1)
    columns = {
        "at": pa.array([datetime(2024, 1, 1), None], pa.timestamp("us")),
        "zoned": pa.array(
            [datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), None], pa.timestamp("us", "Europe/Paris")
        ),
        "day": pa.array([day, None], pa.date32()),
        "far": pa.array([day, None], pa.date64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"), ReadSettings())
    features = [Feature(name, "date", "double", format=form, optional=True) for name in columns]
    (chunk,) = source.batches(source.all_names)
    frame = convert_chunk(source.parser, Chunk(chunk, 1), features)
    for name in columns:
        assert [None if value != value else value for value in frame[name].tolist()] == numbers


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.date32()])
def test_dates_are_no_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"rooms": pa.array([0, 86_400_000]).cast(pa.timestamp("us")).cast(kind)}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"), ReadSettings())
    (chunk,) = source.batches(source.all_names)
    with pytest.raises(DataError, match=r"'rooms' is not what the model takes .*: these are dates, and the column holds numbers"):
        convert_chunk(source.parser, Chunk(chunk, 1), [Feature("rooms", "number", "double")])


def test_names_the_column_and_the_rows_of_a_wrong_value(tmp_path: Path) -> None:
    chunk = pa.table({"rooms": ["3", "three"]})
    pq.write_table(chunk, tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"), ReadSettings())
    with pytest.raises(DataError, match=r"'rooms' is not what the model takes \(long\) in rows 11 to 12: .*three"):
        convert_chunk(source.parser, Chunk(chunk, 11), [Feature("rooms", "number", "long")])


def test_a_condition_reads_dates_as_the_model_does(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sold,code\n01/02/2024,1\n03/04/2024,x\n05/06/2024,2\n")
    features = [
        Feature("sold", "date", "string", format="%d/%m/%Y"),
        Feature("code", "category", "string", categories=("1", "x")),
    ]
    source = open_source(str(tmp_path / "a.csv"), ReadSettings(), where=Selection("sold > '2024-02-15' and code != '2'"))
    study_features(source, features)
    (chunk,) = source.batches(source.all_names)
    assert source.select(chunk).to_pylist() == [{"sold": "03/04/2024", "code": "x"}]


def test_a_condition_that_cannot_order_a_column_asks_for_no_parameter_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code\nx\n")
    for states, end in ((True, r"in, or state its type: -y 'column_types: {code: date}'\."), (False, r"Use ==, != or in\.")):
        where = Selection("code > 'a'", can_state_types=states)
        source = open_source(str(tmp_path / "a.csv"), ReadSettings(), where=where)
        study_features(source, [])
        (chunk,) = source.batches(source.all_names)
        with pytest.raises(DataError, match=f"cannot order.*{end}$"):
            source.select(chunk)


@pytest.mark.parametrize("condition", ["new == 1", "new == 0 or new == 1"])
def test_a_condition_reads_truth_values_as_they_are_written(tmp_path: Path, condition: str) -> None:
    (tmp_path / "a.csv").write_text("new\n1\n1\n")
    source = open_source(str(tmp_path / "a.csv"), ReadSettings(), where=Selection(condition))
    study_features(source, [Feature("new", "boolean", "boolean")])
    (chunk,) = source.batches(source.all_names)
    assert source.select(chunk).num_rows == 2
