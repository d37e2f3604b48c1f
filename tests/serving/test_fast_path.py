"""The fast path reads rows of numbers only, and leaves all other requests to the parser."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from boostlab.serving.fast_path import MOST_COLUMNS, FastReader, to_matrix

NAMES = ["a", "b"]
WRONG_ROWS: list[Any] = [[], {}, None, 1, "ab", [None], ["ab"], [[1, 2]], [{"a": 1}]]
WRONG_NUMBERS: list[Any] = [None, True, "1", [1], {}, 1e300]
TRICKS = [  # texts and truth values whose quotation marks and words look like those of columns
    b'{"dataframe_records": [{"a": "1", "b": 1}]}',
    b'{"dataframe_records": [{"a": true, "b": 1}]}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": [["1", 2]]}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": [[false, 2]]}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": "ab"}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": ["ab"]}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": {"ab": 1}}}',
    b'{"dataframe_records": {"a": 1, "b": 2}}',
    b'{"dataframe_records": ["ab"]}',
]
WRONG_SPLITS: list[Any] = [[1], None, "ab", {}]


def read(content: Any, content_type: str | None = "application/json") -> np.ndarray | None:
    values = FastReader(NAMES).read(json.dumps(content).encode(), content_type)
    return None if values is None else to_matrix(values, len(NAMES))


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_records": [{"a": 1, "b": 2.5}, {"b": -1e-300, "a": 2**63, "other": "x"}]},
        {"dataframe_split": {"columns": NAMES, "data": [[1, 2.5], [2**63, -1e-300]]}},
    ],
)
def test_reads_numbers_row_by_row(content: Any) -> None:
    matrix = read(content)

    assert matrix is not None and matrix.dtype == np.float32 and matrix.flags.c_contiguous
    assert matrix.tolist() == [[1, 2.5], [2.0**63, 0]]


@pytest.mark.parametrize(
    "content",
    [
        *({"dataframe_records": rows} for rows in WRONG_ROWS),
        *({"dataframe_records": [{"a": value, "b": 1}]} for value in WRONG_NUMBERS),
        {"dataframe_records": [{"a": 1, "b": 2}], "params": {}},
        *({"dataframe_split": {"columns": NAMES, "data": data}} for data in ([], None, 1, "ab", [1], ["ab"], [[1]], [[1, 2, 3]])),
        *({"dataframe_split": {"columns": NAMES, "data": [row]}} for row in ({"a": 1, "b": 2}, [[1], [2]], [None, 1])),
        {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": NAMES, "data": [[1, 2]], "index": [0]}},
        *({"dataframe_split": split} for split in WRONG_SPLITS),
        *({form: [{"a": 1, "b": 2}]} for form in ("instances", "inputs")),
        *([], [0], ["dataframe_records"], {}, None, 1, "a"),
    ],
)
def test_leaves_other_content_to_the_parser(content: Any) -> None:
    assert read(content) is None


@pytest.mark.parametrize("body", TRICKS)
def test_no_text_and_no_truth_value_is_read_as_a_number(body: bytes) -> None:
    assert FastReader(NAMES).read(body, "application/json") is None


def test_columns_may_be_called_as_truth_values_and_be_alone() -> None:
    body = b'{"dataframe_records": [{"is_true": 1}, {"is_true": 2}]}'
    reader = FastReader(["is_true"])
    assert reader.read(body, "application/json") == [1, 2]
    assert reader.read(body.replace(b"2", b"true"), "application/json") is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"dataframe_records": [{"a": NaN, "b": 1}]}'])
def test_leaves_broken_json_to_the_parser(body: bytes) -> None:
    assert FastReader(NAMES).read(body, "application/json") is None


@pytest.mark.parametrize("content_type", [None, "text/csv", "application/json; charset=latin-1"])
def test_leaves_other_content_types_to_the_parser(content_type: str | None) -> None:
    assert read({"dataframe_records": [{"a": 1, "b": 2}]}, content_type) is None


@pytest.mark.parametrize("names", [[], ['a"b'], ["a\\b"], ["a\nb"], [f"c{place}" for place in range(MOST_COLUMNS + 1)]])
def test_leaves_the_requests_of_other_models_to_the_parser(names: list[str]) -> None:
    record = dict.fromkeys(names, 1)
    assert FastReader(names).read(json.dumps({"dataframe_records": [record]}).encode(), "application/json") is None


def test_columns_may_have_any_name() -> None:
    names = ["", "é", "a b", "__struct_fields__", "value_1", "'", "🙂"]
    record = dict(zip(names, range(7), strict=True))
    for text in (json.dumps({"dataframe_records": [record]}), json.dumps({"dataframe_records": [record]}, ensure_ascii=False)):
        assert FastReader(names).read(text.encode(), "application/json") == list(range(7))
