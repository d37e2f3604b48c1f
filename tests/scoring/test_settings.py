"""The parameters of ``score.ipynb`` are checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from boostlab.scoring.settings import Score

VALID: dict[str, Any] = {
    "model": "", "stage": "production", "version": 0, "rows": "", "output": "", "probabilities": False, "chunk_rows": 10,
    "experiment": "score", "run_name": "", "tracking_uri": "",
}  # fmt: skip


def test_takes_a_file_or_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()

    for rows in (tmp_path / "a.csv", tmp_path / "*.csv", tmp_path):
        assert Score(**VALID | {"model": "iris", "rows": str(rows)}).rows == str(rows)
    assert Score(**VALID).model == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "iris"}, "rows is missing"),
        ({"rows": "."}, "model is missing"),
        ({"model": "iris", "rows": "nowhere/*.csv"}, "there is no file at /.*nowhere"),
        ({"output": "out.xlsx"}, "output"),
        ({"model": "iris", "rows": "s3://lake/t.csv"}, "is not a file of this machine: name the file to write"),
        ({"model": "iris", "rows": "sql:SELECT 1"}, "is not a file of this machine: name the file to write"),
        ({"model": "iris", "rows": ".", "output": "s3://lake/t.csv"}, "is an address. It takes a file of this machine"),
        ({"model": "iris", "rows": ".", "connection": "postgresql://host/db"}, "connection is for a query"),
        ({"where": "x >"}, "cannot be read"),
        ({"chunk_rows": 0}, "chunk_rows"),
    ],
)
def test_refuses_values_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Score(**VALID | change)
