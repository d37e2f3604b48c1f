"""The dialect of CSV files: separator, encoding and column names, found or stated, and refused where two readings fit."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from boostlab.data.dialect import find_dialect
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import File
from boostlab.errors import DataError


def find(folder: Path, content: str, written: str = "utf-8", **read: Any) -> tuple[str, str, tuple[str, ...]]:
    (folder / "t.csv").write_bytes(content.encode(written))
    dialect = find_dialect(File.here(folder / "t.csv"), ReadSettings(**read))
    return dialect.separator, dialect.encoding, dialect.names


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a;b;c\n1;x, y;2\n", ";"),
        ("a\tb\n1,5\t2\n", "\t"),
        ("a|b\n1|2,5\n", "|"),
        ('"a, first";b\n1;2\n', ";"),
        ('a,b\n"one\ntwo; three",2\n"four",5\n', ","),
        ("a\n1\n2\n", ","),
    ],
)
def test_finds_the_separator(tmp_path: Path, content: str, separator: str) -> None:
    assert find(tmp_path, content)[0] == separator


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("utf-16-le", "utf-16-le"),
        ("latin-1", "cp1252"),
    ],
)
def test_finds_the_encoding_and_reads_the_names_in_it(tmp_path: Path, encoding: str, found: str) -> None:
    assert find(tmp_path, "área;preço\n1;2\n", encoding) == (";", found, ("área", "preço"))


def test_an_odd_byte_far_behind_the_first_megabyte_decides_the_encoding(tmp_path: Path) -> None:
    content = "name,price\n" + "plain,1\n" * 200_000 + "café,2\n"
    assert find(tmp_path, content, "cp1252")[1] == "cp1252"
    assert find(tmp_path, content, "utf-8")[1] == "utf-8"


def test_what_is_stated_is_not_searched_for(tmp_path: Path) -> None:
    assert find(tmp_path, "a,b;c\n1,2;3\n", separator=",")[2] == ("a", "b;c")
    assert find(tmp_path, "цена;b\n1;2\n", "cp1251", encoding="cp1251")[2] == ("цена", "b")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (",a,b\n0,1,2\n1,3,4\n", ("", "a", "b")),  # pandas' index
        ("a b,c\nr1,1,2\nr2,3,4\n", ("", "a b", "c")),  # R's row names
        ("a;b;\n1;2;\n", ("a", "b", "")),  # a separator at the end of each line
        ("a;b\n1;2;\n3;4;\n", ("a", "b", "")),
        ("\n\na,b\n1,2\n", ("a", "b")),
    ],
)
def test_a_column_without_a_name_is_kept_apart(tmp_path: Path, content: str, names: tuple[str, ...]) -> None:
    assert find(tmp_path, content)[2] == names


def test_a_first_line_that_states_the_separator_is_no_row(tmp_path: Path) -> None:
    assert find(tmp_path, "sep=;\r\na,b;c\r\n1,2;3\r\n", "utf-16") == (";", "utf-16", ("a,b", "c"))
    assert find(tmp_path, "\nSEP=\t\na\tb\n1\t2\n")[0] == "\t"
    assert find(tmp_path, "sep=,\na;b\n1;2\n", separator=";")[2] == ("a", "b")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("# made by X\na,b\n1,2\n", "'# made by X', which has 1 field(s) where other rows have 2"),
        ("# made by X, Y\na;b\n1;2\n", "'# made by X, Y', which has 1 field(s) where other rows have 2"),
        ("# made by X, Y\na,b,c\n1,2,3\n", "'# made by X,  Y', which has 2 field(s) where other rows have 3"),
        ("Report\n\nof May\na,b\n1,2\n3,4\n5,6\n", "'Report', which has 1 field(s) where other rows have 2"),
    ],
)
def test_refuses_a_comment_or_a_title_before_the_column_names(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(DataError) as refusal:
        find(tmp_path, content)
    assert f"begins with {told}" in str(refusal.value) and "remove comments and titles" in str(refusal.value)


def test_a_name_may_begin_as_a_comment_does(tmp_path: Path) -> None:
    assert find(tmp_path, "#id,b\n1,2\n")[2] == ("#id", "b")


def test_the_limit_of_pythons_csv_reader_stays_as_it_was(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    assert find(tmp_path, "a,b\n" + "x" * 200_000 + ",1\n")[2] == ("a", "b")
    assert csv.field_size_limit() == limit < 200_000


def test_a_compressed_file_has_the_dialect_of_its_content(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write("é;b\n1;2\n".encode("latin-1"))
    dialect = find_dialect(File.here(tmp_path / "t.csv.gz"), ReadSettings())
    assert (dialect.separator, dialect.encoding, dialect.names) == (";", "cp1252", ("é", "b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b;c,d\nx,y;z,w\n", r"The columns of .* are \['a', 'b;c', 'd'\] \(comma\) or \['a,b', 'c,d'\] \(semicolon\)"),
        ("a,a\n1,2\n", "more than one column 'a'"),
        ("a,,b\n1,2,3\n", "Column 2 of .* has values and no name"),
        ("", "is empty"),
    ],
)
def test_refuses_what_has_two_readings(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(tmp_path, content)


def test_refuses_a_stated_encoding_that_does_not_fit(tmp_path: Path) -> None:
    late = "a,b\n" + "1,2\n" * 300_000 + "é,2\n"
    for content in ("é,b\n1,2\n", late):
        with pytest.raises(DataError, match="is not text in the encoding 'utf-8'"):
            find(tmp_path, content, "latin-1", encoding="utf-8")
    with pytest.raises(
        DataError, match="is not text in the encoding 'cp1252'"
    ):  # none was stated, and 0x81 is no character of it
        find(tmp_path, late + "\x81,2\n", "latin-1")


def test_a_character_at_the_end_of_the_first_megabyte_is_whole_in_every_encoding(tmp_path: Path) -> None:
    for start in ("a", "abcde"):  # the longer one cuts a character of two bytes
        assert find(tmp_path, f"{start},b\n" + "漢字漢,2\n" * 150_000, "gbk", encoding="gbk")[1] == "gbk"


def test_refuses_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = gzip.compress("".join(["a,b\n", *(f"{number},{number * 7919 % 10_007}\n" for number in range(150_000))]).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[:-1000])
    with pytest.raises(DataError, match="cannot be read: Compressed file ended before"):
        find_dialect(File.here(tmp_path / "t.csv.gz"), ReadSettings())
