"""The rows that meet a condition: the same in each kind of file, and what is not read at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.settings import make_settings

from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError

ROWS = 400
rng = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "row": range(ROWS),
        "year": np.repeat([2021, 2022, 2023, 2024], ROWS // 4),
        "size": np.where(rng.random(ROWS) < 0.2, np.nan, rng.integers(0, 50, ROWS) / 2),
        "cost": rng.integers(0, 50, ROWS) / 2,
        "city": rng.choice(np.array(["Porto", "Faro", "São Brás", None], object), ROWS),
        "new": rng.choice([True, False], ROWS),
        "sold on": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, ROWS), "D"),
        "price": range(100, 100 + ROWS),
    }
)
PYTHON: dict[str, Callable[[Any], bool]] = {  # each condition, and what it means for a row; a missing value meets no comparison
    "year >= 2023": lambda r: r.year >= 2023,
    "size > 12.5": lambda r: r["size"] > 12.5,
    "not size > 12.5": lambda r: r["size"] <= 12.5,
    "size != 3": lambda r: r["size"] != 3 and r["size"] == r["size"],
    "size is null": lambda r: r["size"] != r["size"],
    "size is not null and size < 3.0": lambda r: r["size"] < 3,
    "size not in [1, 2.5, 10]": lambda r: r["size"] not in (1, 2.5, 10) and r["size"] == r["size"],
    "size > cost": lambda r: r["size"] > r.cost,
    "city == 'Porto' or year < 2022": lambda r: r.city == "Porto" or r.year < 2022,
    "city in ['Faro', 'São Brás']": lambda r: r.city in ("Faro", "São Brás"),
    "not city == 'Porto'": lambda r: r.city is not None and r.city == r.city and r.city != "Porto",
    "new and year in [2021, 2024]": lambda r: r.new and r.year in (2021, 2024),
    "not new": lambda r: not r.new,
    "`sold on` >= '2024-06-01'": lambda r: r["sold on"] >= pd.Timestamp("2024-06-01"),
    "'2024-02-01' <= `sold on` < '2024-03-01'": lambda r: r["sold on"].month == 2,
    "year < 2022.5 and row >= 50": lambda r: r.year < 2022.5 and r.row >= 50,
    "not (year < 2023 or city is null)": lambda r: r.year >= 2023 and isinstance(r.city, str),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("where")
    found = {name: folder / name for name in ("t.csv", "t.parquet", "coded.parquet", "parts")}
    FRAME.to_csv(found["t.csv"], index=False)
    FRAME.to_parquet(found["t.parquet"], index=False, row_group_size=50)
    coded = FRAME.astype({"city": "category", "year": "int16", "cost": "float32"})
    coded = coded.assign(**{"sold on": coded["sold on"].dt.date})
    coded.to_parquet(found["coded.parquet"], index=False, row_group_size=50)
    for year, part in FRAME.groupby("year"):
        (found["parts"] / f"year={year}").mkdir(parents=True)
        part.drop(columns="year").to_parquet(found["parts"] / f"year={year}" / "p.parquet", index=False)
    return found


def load(path: Path | str, where: str, **changes: Any) -> Table:
    return load_table(make_settings(dataset=str(path), target="price", where=where, **changes))


@pytest.mark.parametrize("where", PYTHON)
def test_a_condition_means_the_same_in_each_kind_of_file(where: str, files: dict[str, Path]) -> None:
    expected = [int(row["row"]) for _, row in FRAME.iterrows() if PYTHON[where](row)]
    assert 0 < len(expected) < ROWS
    for path in files.values():
        table = load(path, where)
        assert table.data["row"].to_pylist() == expected, path.name
        assert table.rows_not_selected == ROWS - len(expected)
    assert load(files["t.csv"], where).digest == load(files["t.parquet"], where).digest


@pytest.mark.parametrize(
    "where", ["size > cost", "city in ['Faro'] or size is null", "year == 2024 and `sold on` >= '2024-03-01'"]
)
def test_a_condition_means_the_same_for_rows_on_disk(where: str, files: dict[str, Path]) -> None:
    places: list[Path | str] = [*files.values(), f"sql:SELECT * FROM '{files['t.parquet']}' ORDER BY row"]
    for path in places:
        here, there = (load(path, where, memory=memory) for memory in ("internal", "external"))
        assert (there.digest, there.rows_not_selected) == (here.digest, here.rows_not_selected)
        assert (here.placement.cache, there.placement.cache is None) == (None, False)


def test_the_rows_that_are_left_out_are_told(files: dict[str, Path]) -> None:
    assert "300 rows that do not meet `where` were left out." in load(files["parts"], "year == 2024").describe_reading()
    assert "left out" not in load(files["t.csv"], "  ").describe_reading()


def test_a_column_of_the_condition_is_no_feature_if_it_is_dropped(files: dict[str, Path]) -> None:
    table = load(files["t.csv"], "year == 2024", drop=["year", "row"])
    assert (len(table), table.features) == (100, ("size", "cost", "city", "new", "sold on"))
    assert "year" not in table.data.column_names


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_condition_sees_the_types_that_the_user_states(name: str, files: dict[str, Path]) -> None:
    table = load(files[name], "year == '2024'", column_types={"year": "category"})
    assert len(table) == 100


def test_text_that_is_a_date_by_its_stated_type_is_compared_as_one(tmp_path: Path) -> None:
    pd.DataFrame({"sold": ["03/11/2023", "13/02/2024", "01/12/2024"], "price": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    types, read = {"sold": "date"}, {"day_first": True}
    table = load(tmp_path / "t.parquet", "sold >= '2024-01-01'", column_types=types, read=read)
    assert table.data["price"].to_pylist() == [2, 3]
    with pytest.raises(
        DataError, match=r"the column 'sold' holds text, which '>=' cannot order. Use ==, != or in, or state its type"
    ):
        load(tmp_path / "t.parquet", "sold >= '2024-01-01'")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_values_that_mean_a_missing_one_are_missing(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, -999, 3], "city": ["a", "none", "b"], "price": [1, 2, 3]})
    path = tmp_path / f"t.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
    read = {"missing": ["-999", "none"]}
    assert load(path, "x < 2", read=read).data["price"].to_pylist() == [1]
    assert load(path, "x is null and city is null", read=read).data["price"].to_pylist() == [2]
    assert load(path, "city != 'a'", read=read).data["price"].to_pylist() == [3]


def test_it_applies_to_test_rows_and_to_data_sets_of_scikit_learn(files: dict[str, Path]) -> None:
    table = load(files["t.csv"], "year == 2024", test_dataset=str(files["t.parquet"]))
    assert (len(table), table.test_rows, table.rows_not_selected) == (200, 100, 600)
    wine = load_table(make_settings(dataset="wine", where="alcohol > 13 and target != 'class_2'", features=["hue"]))
    assert (wine.features, set(wine.target)) == (("hue",), {"class_0", "class_1"})
    with pytest.raises(DataError, match=r"wine has no column 'alcool'. Did you mean 'alcohol'"):
        load_table(make_settings(dataset="wine", where="alcool > 13"))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "parts"])
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("yeer >= 2024", "has no column 'yeer'. Did you mean 'year'. It has: "),
        ("city == Porto", "has no column 'Porto'.* Text stands in quotes"),
        ("year == '2024'", "the column 'year' holds numbers, and is compared with '2024'. Compare it with a number"),
        ("year == true", "the column 'year' holds numbers, and is compared with True"),
        ("city == 3", "the column 'city' holds text, and is compared with 3. Compare it with a text in quotes"),
        ("city > 'A'", "the column 'city' holds text, which '>' cannot order"),
        ("new > false", "the column 'new' holds true and false, which '>' cannot order"),
        ("new in [1]", "the column 'new' holds true and false, and is compared with 1"),
        (
            "`sold on` > 2024",
            "the column 'sold on' holds dates, and is compared with 2024. Compare it with a date, as '2024-01-31'",
        ),
        ("`sold on` > '31.01.2024'", "Compare it with a date"),
        ("`sold on` > '2024-01-01T00:00Z'", "A column without time zones takes a date without one"),
        ("size > city", "the columns 'size' .* and 'city' .* cannot be compared"),
        ("year", "the column 'year' holds numbers, and is compared with True"),
        ("year > 2030", "none of the 400 rows of .* meets it. Correct it, or leave it empty"),
        ("year > 2030 and city == 3", "the column 'city' holds text"),
    ],
)
def test_says_what_is_wrong_with_a_condition(name: str, where: str, message: str, files: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=message):
        load(files[name], where)


def test_times_with_zones_are_compared_in_utc(tmp_path: Path) -> None:
    times = pa.array([dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC) for hour in (0, 1, 2)], pa.timestamp("ns", "Europe/Lisbon"))
    pq.write_table(pa.table({"t": times, "price": [1, 2, 3]}), tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", "t >= '2024-01-01 01:00'").data["price"].to_pylist() == [2, 3]
    assert load(tmp_path / "t.parquet", "t >= '2024-01-01T03:00+01:00'").data["price"].to_pylist() == [3]
    assert load(tmp_path / "t.parquet", "t < '3000-01-01'").data["price"].to_pylist() == [1, 2, 3]


def test_numbers_beyond_a_type_are_compared_by_value(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([1, 255], pa.uint8()), "b": pa.array([1, 2**64 - 1], pa.uint64()), "price": [1, 2]})
    pq.write_table(table, tmp_path / "t.parquet")
    for where, prices in {
        "a < 300": [1, 2],
        "a > -1": [1, 2],
        "b > -1": [1, 2],
        "b > 1000": [2],
        f"b < {10**30}": [1, 2],
    }.items():
        assert load(tmp_path / "t.parquet", where).data["price"].to_pylist() == prices, where


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_each_type_of_text_is_compared(kind: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({"city": pa.array(["a", None, "b"]).cast(kind), "price": [1, 2, 3]})
    pq.write_table(table, tmp_path / "t.parquet")
    source = open_source(str(tmp_path / "t.parquet"), ReadSettings(), where=Selection("city == 'b'"))
    assert [source.select(rows)["city"].to_pylist() for rows in source.batches(source.names)][-1] == ["b"]
    for where, prices in {"city == 'a'": [1], "city != 'a'": [3], "city in ['b']": [3], "city is null": [2]}.items():
        assert load(tmp_path / "t.parquet", where).data["price"].to_pylist() == prices, where


@pytest.mark.parametrize(
    "kind", [pa.decimal128(8, 2), pa.float16(), pa.float32(), pa.int8(), pa.uint64(), pa.decimal256(40, 3)], ids=str
)
def test_each_type_of_number_is_compared(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([1, None, 3], pa.float64()).cast(kind), "price": [1, 2, 3]}), tmp_path / "t.parquet")
    for where, prices in {
        "x == 1": [1],
        "x != 1": [3],
        "x in [3.0, 7]": [3],
        "x > 1.5": [3],
        "not x > 1.5": [1],
        "x > -1": [1, 3],
    }.items():
        assert load(tmp_path / "t.parquet", where).data["price"].to_pylist() == prices, where


def break_part(path: Path, group: int) -> None:
    """Overwrite the values of a row group of a Parquet file: who reads them fails."""
    columns = [pq.read_metadata(path).row_group(group).column(number) for number in range(pq.read_metadata(path).num_columns)]
    content = bytearray(path.read_bytes())
    for column in columns:
        start = min(filter(None, [column.dictionary_page_offset, column.data_page_offset]))
        content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)


def test_row_groups_without_a_wanted_row_are_not_read(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet", index=False, row_group_size=100)
    for group in (0, 1, 2):
        break_part(tmp_path / "t.parquet", group)
    assert len(load(tmp_path / "t.parquet", "year >= 2024 and (size >= 0 or size is null)")) == 100
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "t.parquet", "year >= 2023")


def test_folders_without_a_wanted_row_are_not_read(files: dict[str, Path], tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / f"year={year}").mkdir()
        content = (files["parts"] / f"year={year}" / "p.parquet").read_bytes()
        (tmp_path / f"year={year}" / "p.parquet").write_bytes(content)
    break_part(tmp_path / "year=2023" / "p.parquet", 0)
    assert len(load(tmp_path, "year >= 2024")) == 100
    assert len(load(tmp_path, "year in [2024, 2025]")) == 100
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path, "year >= 2023")


def test_a_limit_of_memory_counts_the_wanted_rows(files: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="The limit is"):
        load(files["t.parquet"], "", read={"max_gb": 1e-5})
    assert len(load(files["t.parquet"], "row == 7", read={"max_gb": 1e-5})) == 1


def test_a_filter_of_arrow_keeps_at_least_the_wanted_rows(files: dict[str, Path]) -> None:
    source = open_source(str(files["coded.parquet"]), ReadSettings())
    assert source.dataset is not None
    for where in PYTHON:
        selection = Selection(where)
        kept = selection.to_filter(source.dataset.schema)
        rows = source.dataset.to_table(filter=kept) if kept is not None else source.dataset.to_table()
        assert selection.apply(rows) == selection.apply(source.dataset.to_table()), where


def test_stated_types_count_for_the_test_table_too(tmp_path: Path) -> None:
    days = ["13/02/2026", "14/02/2026", "02/01/2026"]
    table = pd.DataFrame({"x": range(60), "day": [days[row % 3] for row in range(60)], "y": [row * 1.5 for row in range(60)]})
    for name in ("train", "test"):
        table.to_parquet(tmp_path / f"{name}.parquet")
    values: dict[str, Any] = {"dataset": str(tmp_path / "train.parquet"), "test_dataset": str(tmp_path / "test.parquet")}
    values |= {"target": "y", "drop": ["day"], "column_types": {"day": "date"}, "where": "day != '2026-02-13'"}
    found = load_table(make_settings(**values))
    assert (len(found), found.test_rows, found.rows_not_selected) == (80, 40, 40)


def test_a_data_set_of_scikit_learn_is_selected_by_its_stated_types() -> None:
    found = load_table(make_settings(dataset="digits", column_types={"pixel_0_3": "category"}, where="pixel_0_3 == '7'"))
    assert 0 < len(found) < 1797 and found.rows_not_selected == 1797 - len(found)


def test_files_of_a_folder_and_of_a_glob_are_in_one_order(tmp_path: Path) -> None:
    for number, folder in enumerate(("year=2024", "year=2024-q2", "year=2023")):
        (tmp_path / folder).mkdir()
        pd.DataFrame({"x": [number, number], "y": [1.0, 2.0]}).to_parquet(tmp_path / folder / "rows.parquet")
    tables = [
        load_table(make_settings(dataset=f"{tmp_path}{rest}", target="y", drop=[], features=["x"]))
        for rest in ("", "/*/rows.parquet")
    ]
    assert tables[0].digest == tables[1].digest
