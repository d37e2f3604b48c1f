"""Write many runs into a SQLite store quickly: copies of one real run, each with its own parameters, metrics and times.

A copy has everything of the run that is in the database: parameters, metrics, tags, the data set and the model's record.
It has no artifacts and no points of curves: neither side of the benchmark reads them.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

VARIED = {"eta": (0.01, 0.03, 0.1, 0.3), "max_depth": (2, 3, 4, 6, 8), "subsample": (0.5, 0.8, 1.0), "seed": tuple(range(10))}


def make_runs(database: Path, count: int, *, seed: int = 0) -> None:
    """Copy the oldest run of a store `count` times."""
    draw = random.Random(seed)  # noqa: S311  # copies of runs, no secret
    with closing(sqlite3.connect(database)) as connection, connection:
        (source,) = connection.execute("SELECT run_uuid FROM runs ORDER BY start_time LIMIT 1").fetchone()
        tables = {name: _read(connection, name, source) for name in ("runs", "params", "latest_metrics", "tags")}
        tables["inputs"] = _read(connection, "inputs", source, "destination_id")
        tables["input_tags"] = _read(connection, "input_tags", str(tables["inputs"][0]["input_uuid"]), "input_uuid")
        for name, rows in tables.items():
            made = [row for number in range(count) for row in _copy(rows, number, draw)]
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {name} VALUES ({places})", [tuple(row.values()) for row in made])  # noqa: S608


def _read(connection: sqlite3.Connection, table: str, key: str, column: str = "run_uuid") -> list[dict[str, object]]:
    found = connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (key,))  # noqa: S608
    names = [item[0] for item in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _copy(rows: list[dict[str, object]], number: int, draw: random.Random) -> list[dict[str, object]]:
    """Return the rows of one table for the copy with this number."""
    run_id, input_id = (uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}").hex for kind in ("run", "input"))
    copies = []
    for row in rows:
        copy = dict(row)
        for column, value in {"run_uuid": run_id, "destination_id": run_id, "input_uuid": input_id}.items():
            copy |= {column: value} if column in copy else {}
        if "start_time" in copy:
            copy |= {"name": f"made-{number:05d}", "start_time": number * 1000, "end_time": number * 1000 + 5000}
        elif "is_nan" in copy:
            copy["value"] = float(str(copy["value"])) * draw.uniform(0.8, 1.3)
        elif copy.get("key") in VARIED:
            copy["value"] = str(draw.choice(VARIED[str(copy["key"])]))
        elif copy.get("key") == "mlflow.runName":
            copy["value"] = f"made-{number:05d}"
        copies.append(copy)
    return copies
