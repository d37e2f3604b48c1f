"""The digest of a table: independent of how values are stored, and different after any change of content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from boostlab.data.digest import hash_table

FRAME = pd.DataFrame({"a": [1, 2], "day": pd.to_datetime(pd.Series(["2020-01-01", None])), "kind": ["x", None]})
Change = Callable[[pd.DataFrame], pd.DataFrame]


def digest(frame: pd.DataFrame) -> str:
    return hash_table(pa.Table.from_pandas(frame, preserve_index=False)).digest


def test_the_digest_of_a_table_never_changes() -> None:
    """Runs recorded by earlier versions are compared by their digests."""
    assert digest(FRAME) == "721383ff9df63134"


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(a=frame.a.astype("float32")),
        lambda frame: frame.assign(kind=frame.kind.astype("category")),
        lambda frame: frame.assign(day=frame.day.astype("datetime64[ms]")),
    ],
    ids=["number", "category", "date"],
)
def test_is_the_same_however_values_are_stored(change: Change) -> None:
    assert digest(change(FRAME)) == digest(FRAME)


def test_is_the_same_for_zeros_of_either_sign_and_for_each_nan() -> None:
    values = np.array([-0.0, np.nan])
    other = np.array([0.0, np.float64.fromhex("nan")])
    other[1:].view(np.uint64)[:] |= 1  # another bit pattern

    assert digest(pd.DataFrame({"a": values})) == digest(pd.DataFrame({"a": other}))


def test_is_the_same_however_the_table_is_chunked() -> None:
    table = pa.table({"a": range(100), "kind": ["x", "y"] * 50})

    assert hash_table(pa.concat_tables([table[:7], table[7:]])).digest == hash_table(table).digest


def test_the_hash_of_a_row_is_that_of_its_content_wherever_it_is() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "kind": ["x", None, "z"]})
    rows = hash_table(pa.Table.from_pandas(frame, preserve_index=False)).rows
    changed = frame.assign(kind=frame.kind.astype("category"), a=frame.a.astype(float))[["kind", "a"]].iloc[::-1]

    assert hash_table(pa.Table.from_pandas(changed, preserve_index=False)).rows.tolist() == rows[::-1].tolist()
    assert len({*rows.tolist(), *hash_table(pa.table({"a": ["x"], "kind": ["1"]})).rows.tolist()}) == 4


def test_the_hash_of_a_row_is_the_sum_over_its_columns() -> None:
    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    whole, part, rest = (hash_table(each).rows for each in (table, table.select(["a"]), table.select(["b"])))

    assert (whole - rest == part).all() and hash_table(table).columns.keys() == {"a", "b"}


@pytest.mark.parametrize("value", [{"a": [1, 3]}, {"day": pd.to_datetime(["2020-01-01"] * 2)}, {"kind": ["x", "None"]}])
def test_changes_with_any_kind_of_value(value: dict[str, Any]) -> None:
    assert digest(FRAME.assign(**value)) != digest(FRAME)


@pytest.mark.parametrize("change", [lambda frame: frame.rename(columns={"a": "b"}), lambda frame: frame.iloc[::-1]])
def test_changes_with_a_name_and_with_the_order_of_rows(change: Change) -> None:
    assert digest(change(FRAME)) != digest(FRAME)


@pytest.mark.parametrize("values", [[[1, 2], None, [3]], [b"\xff", None, b"a"], [{"a": 1}, None, {"a": 2}]])
def test_hashes_values_that_no_model_takes(values: list[Any]) -> None:
    rows = hash_table(pa.table({"a": values})).rows.tolist()
    assert len(set(rows)) == 3
    assert hash_table(pa.table({"a": values[::-1]})).rows.tolist() == rows[::-1]
