"""Reading CSV and Parquet files, and the messages for files that cannot be read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from tests.support.settings import make_settings

from boostlab.data.files import find_files
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError
from boostlab.models.contract import MISSING_MARKERS

FRAME = pd.DataFrame(
    {
        "size": [1.5, 2.0, None, 4.0, 5.5],
        "rooms": [1, 2, 3, 4, 5],
        "city": ["Porto", None, "Faro", "Porto", "Lisboa, PT"],
        "new": [True, False, True, False, True],
        "sold": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01"]),
        "price": [10.5, 20.0, 30.25, 40.0, None],
    }
)


def load(path: object, target: str = "price", **options: Any) -> Table:
    return load_table(make_settings(dataset=str(path), target=target, **options))


def write_csv(path: Path) -> None:
    FRAME.to_csv(path, index=False)


def write_zipped(path: Path) -> None:
    with gzip.open(path, "wt") as out:
        FRAME.to_csv(out, index=False)


def write_parquet(path: Path) -> None:
    FRAME.to_parquet(path, index=False)


def write_dictionary(path: Path) -> None:
    table = pa.Table.from_pandas(FRAME.assign(rooms=FRAME.rooms.astype("int8")), preserve_index=False)
    position = table.column_names.index("city")
    pq.write_table(table.set_column(position, "city", table.column("city").dictionary_encode()), path, row_group_size=2)


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.csv", write_csv), ("t.csv.gz", write_zipped), ("t.parquet", write_parquet), ("t.parquet", write_dictionary)],
)
def test_every_format_gives_the_same_content(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write_parquet(tmp_path / "reference.parquet")
    write(tmp_path / name)
    table = load(tmp_path / name)
    assert table.features == ("size", "rooms", "city", "new", "sold")
    assert (len(table), table.rows_without_target) == (4, 1)
    assert table.digest == load(tmp_path / "reference.parquet").digest
    frame = pd.concat(table.batches(["city", "size"], np.arange(len(table))))
    assert frame["city"].tolist()[0] == "Porto"
    assert frame["city"].isna().tolist() == [False, True, False, False]
    assert frame["size"].isna().sum() == 1


def test_a_folder_and_a_glob_are_read_as_one_table(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    FRAME.iloc[:2].to_parquet(tmp_path / "parts" / "a.parquet", index=False)
    FRAME.iloc[2:].to_parquet(tmp_path / "parts" / "deep" / "b.parquet", index=False)
    FRAME.iloc[:2].to_csv(tmp_path / "1.csv", index=False)
    FRAME.iloc[2:].to_csv(tmp_path / "2.csv", index=False)
    assert [len(load(tmp_path / "parts")), len(load(tmp_path / "*.csv"))] == [4, 4]


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", features=["city", "rooms"]).data.column_names == ["rooms", "city", "price"]
    assert load(tmp_path / "t.parquet", drop=["city", "sold"]).features == ("size", "rooms", "new")


def test_a_column_that_begins_with_numbers_and_goes_on_with_text_is_text(tmp_path: Path) -> None:
    lines = ["a,b,price", *(f"{n},{n},{n}.5" for n in range(200_000)), "x7,1,2.5"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = load(tmp_path / "t.csv")
    assert pa.types.is_string(table.data.schema.field("a").type)
    assert pa.types.is_integer(table.data.schema.field("b").type)


def write(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\ufeff\n\r\n", "is empty"),
        ("a,price\n", "has column names and no rows"),
        ("a,price", "has column names and no rows"),
        ('a,b,price\n1, "x,y",2\n3, "z,w",4\n', "has a space before a quotation mark, which then quotes nothing: ' \"x'"),
        ('a, "price"\n1,2\n', "has a space before a quotation mark"),
        ("a,prize\n1,2\n", "has no column 'price'. Did you mean 'prize'? It has: a, prize."),
        ("a,price\n1,\n2,\n", "is missing in all 2 rows"),
        ("a,a,price\n1,2,3\n", "more than one column 'a'"),
        ("a,price\n1,2\n1,2,3\n", "Expected 2 columns, got 3"),
        ('a,price\n1,2\n1,"2\n3,4\n', "ends inside a quoted field: a quotation mark is missing"),
        ("a,price\n1.5,2\ninf,3\n-inf,4\n", "The column 'a' is infinite in 2 rows (first: 2, 3)"),
    ],
)
def test_refuses_a_file_that_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        load(write(tmp_path, content))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "holds no .parquet file"),
        ("t.txt", "has the format .txt"),
        ("t.parquet", "cannot be read"),
    ],
)
def test_refuses_what_is_no_file_of_a_known_kind(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, "hello", "t.txt")
    write(tmp_path, "hello", "t.parquet")
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_refuses_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a,price\n1,2\n")
    read = csv.open_csv

    def append_then_read(*arguments: Any, **options: Any) -> Any:
        with path.open("a") as out:
            out.write("3,4\n")
        return read(*arguments, **options)

    monkeypatch.setattr(csv, "open_csv", append_then_read)
    with pytest.raises(DataError, match="changed while it was read"):
        load(path)


def test_each_marker_of_a_missing_value_is_missing_among_numbers_and_a_text_among_texts(tmp_path: Path) -> None:
    markers = sorted(MISSING_MARKERS)
    lines = [f"{marker},{marker},1" for marker in markers]
    table = load(write(tmp_path, "\n".join(["number,text,price", "2.5,x,1", *lines])))
    assert table.data.column("number").to_pylist() == [2.5, *[None] * len(markers)]
    assert table.data.column("text").to_pylist() == ["x", *[marker or None for marker in markers]]


def test_the_user_states_what_is_missing(tmp_path: Path) -> None:
    content = "a,b,price\n-999,unknown,1\n1,x,-999\n2,y,3\n"
    table = load(write(tmp_path, content), read={"missing": ["-999", "unknown"]})
    assert table.data.to_pydict() == {"a": [None, 2], "b": [None, "y"], "price": [1, 3]}
    pq.write_table(pa.table({"a": [-999.0, 2.0], "b": ["unknown", "y"], "price": [1.5, 3.0]}), tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", read={"missing": ["-999", "unknown"]}).data.to_pylist()[0] == {
        "a": None,
        "b": None,
        "price": 1.5,
    }


def test_a_number_is_missing_if_it_equals_a_stated_one_and_not_if_its_type_cannot_hold_that_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,price\n-999.0,1\n1.5,-9.99e2\n2,3\n")
    assert load(tmp_path / "t.csv", read={"missing": ["-999"]}).data.to_pydict() == {"a": [None, 2.0], "price": [1.0, 3.0]}
    columns = {
        "byte": pa.array([25, 1], pa.uint8()),
        "whole": pa.array([0, 7]),
        "narrow": pa.array([-999.9, 1], pa.float32()),
        "size": pa.array(["unknown", "L"]).dictionary_encode(),
        "price": pa.array([1.5, 2.5]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet", read={"missing": ["-999", "0.5", "-999.9", "inf", "unknown"]}).data.to_pydict()
    assert (data["byte"], data["whole"], data["narrow"], data["size"]) == ([25, 1], [0, 7], [None, 1.0], [None, "L"])


def test_a_very_long_text_is_a_value(tmp_path: Path) -> None:
    long = "x, y " * 50_000
    table = load(write(tmp_path, f'a,price\n"{long}",1\ny,2\n'))
    assert table.data.column("a").to_pylist() == [long, "y"]


def test_line_breaks_in_quotes_are_read_in_a_file_of_many_blocks(tmp_path: Path) -> None:
    rows = 60_000
    lines = [f'"{"long text " * 20}\nsecond line, with a comma {row}",{row}' for row in range(rows)]
    table = load(write(tmp_path, "\n".join(["review,price", *lines])))
    assert len(table) == rows and table.data.column("price")[rows - 1].as_py() == rows - 1


def test_decimal_commas_in_latin_1_are_read_and_told(tmp_path: Path) -> None:
    table = load(write(tmp_path, "\xe1rea;price\n1,5;1.234,5\n2,5;2\n".encode("latin-1")))
    assert table.data.to_pydict() == {"\xe1rea": [1.5, 2.5], "price": [1234.5, 2.0]}
    assert "separator semicolon, encoding cp1252; decimal comma" in table.reading
    assert "separator semicolon" in table.describe_reading()


def test_the_texts_that_mean_a_missing_value_are_told(tmp_path: Path) -> None:
    table = load(write(tmp_path, "a,b,price\n1, ?,1\n,NA,2\n?,x,3\n"))
    assert table.data.to_pydict() == {"a": [1, None, None], "b": [" ?", "NA", "x"], "price": [1, 2, 3]}
    assert table.reading.endswith("; missing: '?'")


def test_a_column_with_one_reading_decides_for_the_others(tmp_path: Path) -> None:
    assert load(write(tmp_path, "a;price\n1.234;1,5\n")).data.column("a").to_pylist() == [1234]
    assert load(write(tmp_path, "a;price\n1.234;1.5\n")).data.column("a").to_pylist() == [1.234]
    assert load(write(tmp_path, 'a,price\n"1,234",1\n')).data.column("a").to_pylist() == [1234]
    with pytest.raises(DataError, match=r"'1\.234' is 1\.234 or 1234"):
        load(write(tmp_path, "a;price\n1.234;1\n"))


def test_files_of_one_table_have_one_type(tmp_path: Path) -> None:
    write(tmp_path, "code,price\n1,2\n", "1.csv")
    write(tmp_path, "price;code\n3,5;x\n", "2.csv")
    assert load(tmp_path / "*.csv").data.to_pydict() == {"code": ["1", "x"], "price": [2.0, 3.5]}
    write(tmp_path, "price,cod\n3,x\n", "3.csv")
    with pytest.raises(DataError, match=r"1\.csv and .*3\.csv do not have the same columns: cod, code"):
        load(tmp_path / "*.csv")


def test_numbers_with_two_decimal_signs_are_refused_if_they_are_not_among_texts(tmp_path: Path) -> None:
    write(tmp_path, "code,price\n1.5,2\n", "1.csv")
    write(tmp_path, 'code,price\n"1,5",2\n', "2.csv")
    with pytest.raises(DataError, match=r"column 'code' have two decimal signs: '1,5' in .*2\.csv has not the sign"):
        load(tmp_path / "*.csv")
    write(tmp_path, "code,price\n1.234.567,2\n", "2.csv")
    with pytest.raises(DataError, match=r"two decimal signs: '1\.234\.567' in .*2\.csv"):
        load(tmp_path / "*.csv")
    write(tmp_path, 'code,price\n"1,5",2\n', "2.csv")
    assert load(tmp_path / "*.csv", column_types={"code": "category"}).data.column("code").to_pylist() == ["1.5", "1,5"]
    write(tmp_path, "code,price\nx,2\n", "3.csv")
    assert load(tmp_path / "*.csv").data.column("code").to_pylist() == ["1.5", "1,5", "x"]


def test_an_empty_line_of_a_single_column_is_a_missing_value(tmp_path: Path) -> None:
    path = write(tmp_path, "\nx\n1.5\n\n3\n")
    assert open_source(str(path), ReadSettings()).read({"x": None})[0].to_pydict() == {"x": [1.5, None, 3]}
    assert load(write(tmp_path, "x,price\n1,2\n\n3,4\n")).data.to_pydict() == {"x": [1, 3], "price": [2, 4]}


def test_a_first_line_that_states_the_separator_is_skipped(tmp_path: Path) -> None:
    table = load(write(tmp_path, "sep=;\r\na;price\r\n1;2\r\n3;4\r\n"))
    assert table.data.to_pydict() == {"a": [1, 3], "price": [2, 4]}


def test_a_column_that_a_parquet_file_lacks_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.5], "price": [1.5]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["x"], "price": [2.5]}), tmp_path / "2.parquet")
    table = load(tmp_path / "*.parquet")
    assert table.data.column("b").to_pylist() == [None, "x"]
    assert table.reading == "Parquet; not in all files: 'a', 'b'"
    assert "not in all files" in table.describe_reading()
    assert load(tmp_path / "1.parquet").reading == "Parquet"


def test_refuses_two_columns_of_one_name_in_any_parquet_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.5], "price": [1.5]}), tmp_path / "1.parquet")
    columns = [pa.array([1.5])] * 3
    pq.write_table(pa.Table.from_arrays(columns, ["a", "price", "a"]), tmp_path / "2.parquet")
    for name in ("2.parquet", "*.parquet"):
        with pytest.raises(DataError, match=r"2\.parquet has more than one column 'a'\. Rename them"):
            load(tmp_path / name)


def test_parquet_files_of_one_table_have_one_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "price": pa.array([1], pa.int8())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"price": [2.5], "a": [2.5]}), tmp_path / "2.parquet")
    assert load(tmp_path / "*.parquet").data.to_pydict() == {"a": [1.0, 2.5], "price": [1.0, 2.5]}
    pq.write_table(pa.table({"a": ["x"], "price": [2.5]}), tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3\.parquet does not fit the other files of this table: .*a"):
        load(tmp_path / "*.parquet")


def test_an_index_of_pandas_is_a_column_if_it_has_a_name(tmp_path: Path) -> None:
    FRAME.set_index("sold").to_parquet(tmp_path / "named.parquet")
    FRAME.sample(frac=1, random_state=0).to_parquet(tmp_path / "nameless.parquet")
    assert load(tmp_path / "named.parquet").features == ("size", "rooms", "city", "new", "sold")
    assert load(tmp_path / "nameless.parquet").features == ("size", "rooms", "city", "new", "sold")
    rows = next(load(tmp_path / "named.parquet").batches(["size", "sold"], np.arange(2)))
    assert list(rows.columns) == ["size", "sold"]


def test_folders_of_a_partition_are_columns(tmp_path: Path) -> None:
    FRAME.assign(year=[2024, 2024, 2025, 2025, 2025]).to_parquet(tmp_path / "parts", partition_cols=["year"])
    table = load(tmp_path / "parts")
    assert sorted(table.data.column("year").to_pylist()) == [2024, 2024, 2025, 2025]


def test_leading_zeros_make_the_folders_of_a_partition_text(tmp_path: Path) -> None:
    codes = pd.Series(["007", "7", "007", "7", None], name="a b")
    FRAME.assign(year=2024).join(codes).to_parquet(tmp_path / "parts", partition_cols=["year", "a b"])
    data = load(tmp_path / "parts").data
    assert sorted(data.column("a b").to_pylist()) == ["007", "007", "7", "7"]
    assert set(data.column("year").to_pylist()) == {2024}


def test_types_of_every_writer_are_read_or_left_out_with_a_reason(tmp_path: Path) -> None:
    columns = {
        "amount": pa.array(["1.25", "2.50"]).cast(pa.decimal128(12, 2)),
        "half": pa.array(np.array([1.5, 2.5], np.float16)),
        "view": pa.array(["red", "blue"]).cast(pa.string_view()),
        "day": pa.array([1, 2], pa.date32()),
        "size": pa.array(["S", "L"]).dictionary_encode(),
        "tags": pa.array([["a"], []]),
        "place": pa.array([{"lat": 1.0}, None]),
        "raw": pa.array([b"\xff", b"a"]),
        "time": pa.array([1, 2], pa.time32("s")),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = load(tmp_path / "t.parquet", target="amount")
    assert table.features == ("half", "view", "day", "size")
    assert sorted(table.unusable) == ["place", "raw", "tags", "time"]
    assert table.target.tolist() == [1.25, 2.5] and len(table.digest) == 16
    with pytest.raises(DataError, match=r"'tags' holds values of type list<.*>, which no tree can split"):
        load(tmp_path / "t.parquet", target="amount", features=["tags"])


def test_the_user_states_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"zip": [1234, 8033], "at": [1700000000, 1700000060], "code": ["1", "?"], "price": [1.5, 2.5]})
    types = {"zip": "category", "at": "date", "code": "number"}
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        data = load(tmp_path / name, column_types=types).data.to_pydict()
        assert (data["zip"], data["code"]) == (["1234", "8033"], [1, None])
        assert [str(value) for value in data["at"]] == ["2023-11-14 22:13:20", "2023-11-14 22:14:20"]
    for name, wrong, message in (
        ("t.csv", {"price": "boolean"}, r"'price' is not of the type boolean: '1\.5' in row 1 of .*t\.csv"),
        ("t.parquet", {"price": "category"}, "'price' is not a category: it has fractions"),
        ("t.parquet", {"zip": "date"}, "'zip' is not of the type date: '1234' in row 1"),
        ("t.csv", {"zipp": "category"}, "has no column 'zipp'. Did you mean 'zip'"),
    ):
        with pytest.raises(DataError, match=message):
            load(tmp_path / name, column_types=wrong)


def test_numbers_of_parquet_become_what_the_user_states_with_gaps_and_fractions(tmp_path: Path) -> None:
    columns = {
        "flag": pa.array([1.0, None, float("nan")]),
        "code": pa.array([7.0, None, float("nan")]),
        "at": pa.array([1700000000.5, None, float("nan")]),
        "price": pa.array([1.5, 2.5, 3.5]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet", column_types={"flag": "boolean", "code": "category", "at": "date"}).data.to_pydict()
    assert (data["flag"], data["code"]) == ([True, None, None], ["7", None, None])
    assert list(map(str, data["at"])) == ["2023-11-14 22:13:20.500000", "None", "None"]
    huge = {"a": pa.array([2**64 - 1, 1], pa.uint64()), "b": pa.array([1e20, 1.0]), "c": [True, False], "price": [1.5, 2.5]}
    pq.write_table(pa.table(huge), tmp_path / "t.parquet")
    for wrong, message in (
        ({"a": "date"}, "'a' is not of the type date: '18446744073709551615' in row 1"),
        ({"b": "category"}, "'b' is not a category: it has fractions, or numbers of more than 18 digits"),
        ({"b": "date"}, "'b' is not of the type date: '1e.?20' in row 1"),
        ({"c": "category"}, "'c' has the type bool, which does not become a category"),
    ):
        with pytest.raises(DataError, match=message):
            load(tmp_path / "t.parquet", column_types=wrong)


def test_a_stated_category_keeps_its_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": pd.Categorical(["S", "L"], ["S", "L"], ordered=True), "price": [1.5, 2.5]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", column_types={"size": "category"}).data.schema.field("size").type.ordered


def test_a_target_of_dates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The target 'sold' holds dates"):
        load(write(tmp_path, "a,sold\n1,2020-01-01\n2,2021-01-01\n"), target="sold")


def test_a_class_named_na_is_a_class(tmp_path: Path) -> None:
    table = load(write(tmp_path, "a,region\n1,EU\n2,NA\n3,\n"), target="region")
    assert (table.target.tolist(), table.rows_without_target) == (["EU", "NA"], 1)


def test_refuses_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file at /.*\. Correct the path"):
        find_files(str(tmp_path / "nothing.csv"))


@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "text.parquet"])
def test_refuses_a_small_file_that_unpacks_to_more_than_the_limit(kind: str, tmp_path: Path) -> None:
    rows = 200_000
    column: Any = np.ones(rows) if kind == "parquet" else np.repeat("a long text that repeats", rows)
    frame = pd.DataFrame({"x": column, "y": column, "price": np.arange(rows) % 7})
    path = tmp_path / f"rows.{kind}"
    frame.to_csv(path, index=False) if kind == "csv.gz" else frame.to_parquet(path)
    assert path.stat().st_size < 200_000

    said = (
        r"unpacks to 0\.00\d+ GB or more\. The limit is 0\.004 GB\. If the size is right, raise it: -y 'read: \{max_gb: NUMBER\}'"
    )
    with pytest.raises(DataError, match=said):
        load(path, read={"max_gb": 0.004})
    assert len(load(path, read={"max_gb": 1})) == len(load(path)) == rows


@pytest.mark.usefixtures("cache_root")
@pytest.mark.parametrize("memory", ["internal", "external"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_many_small_files_become_few_chunks(kind: str, memory: str, tmp_path: Path) -> None:
    """Each chunk is a step of all later work: a thousand small ones took seven times as long."""
    draw = np.random.default_rng(0)
    whole = pd.DataFrame({"a": draw.normal(size=900), "word": draw.choice(["x", "y"], 900), "price": draw.normal(size=900)})
    whole["word"] = whole["word"].where(whole.index % 10 > 0, (whole.index // 10).map("only in {}".format))
    for number in range(90):
        part, path = whole.iloc[10 * number : 10 * number + 10], tmp_path / f"{number:03}.{kind}"
        part.to_csv(path, index=False) if kind == "csv" else part.to_parquet(path)
    table = load(tmp_path / f"*.{kind}", memory=memory)

    assert {table.data.column(name).num_chunks for name in table.data.column_names} == {1}
    assert table.data.to_pandas().astype({"word": str}).equals(whole.astype({"word": str}))
