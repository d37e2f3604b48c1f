"""Relocation: a local store that was moved, renamed or copied finds the artifacts beside it.

MLflow writes the absolute address of each experiment's artifacts into the store. After a move these addresses lead nowhere, and
after a copy into the folder of the original. Opening the store corrects them.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from boostlab.atomic import write_text

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def find_moves(path: Path, artifact_root: Path | None) -> dict[str, str]:
    """Return the new address of each experiment's artifacts, by the one in the store; empty if the store was not moved.

    Parameters
    ----------
    path : pathlib.Path
        The SQLite file, or the folder of plain files.
    artifact_root : pathlib.Path or None
        The folder of the SQLite store's artifacts; None for plain files, which keep each experiment's artifacts in its folder.
    """
    root = artifact_root or path
    moves = {}
    for location in _query_locations(path) if artifact_root else _read_locations(path):
        folder = Path(unquote(urlsplit(location).path))
        new = root / folder.name
        is_ours = folder.parent.name == root.name or not artifact_root  # other MLflow clients choose other folders
        # The original of a copy keeps the artifacts that were not copied.
        if location.startswith("file:") and is_ours and folder.parent != root and (new.is_dir() or not folder.exists()):
            moves[location] = new.as_uri()
    return moves


def relocate(path: Path, artifact_root: Path | None) -> None:
    """Correct the addresses of a moved store's artifacts; the caller holds the store's lock."""
    moves = find_moves(path, artifact_root)
    if moves:
        (update_database if artifact_root else _update_files)(path, moves)
        logger = logging.getLogger(__name__)
        logger.warning("%s has been moved: the artifacts of %d experiment(s) are now found beside it.", path, len(moves))


def _query_locations(database: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return [location for (location,) in connection.execute("SELECT artifact_location FROM experiments") if location]
    except sqlite3.Error:  # no store yet
        return []


def _read_locations(root: Path) -> Iterable[str]:
    import yaml

    for file in root.glob("*/meta.yaml"):
        location = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("artifact_location") or ""
        if location.endswith(f"/{file.parent.name}"):
            yield location


def update_database(database: Path, moves: dict[str, str]) -> None:
    """Replace the addresses of experiments' artifacts in a SQLite store, and all addresses below them."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for old, new in moves.items():
            for table, column in COLUMNS:
                is_inside = f"{column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'"
                change = f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) WHERE {is_inside}"  # noqa: S608
                connection.execute(change, {"old": old, "new": new})


def _update_files(root: Path, moves: dict[str, str]) -> None:
    old_address = re.compile(f"({'|'.join(map(re.escape, moves))})(?=[/'\"\\s])")
    for file in root.rglob("meta.yaml"):
        if "artifacts" not in file.relative_to(root).parts:
            text = file.read_text(encoding="utf-8")
            changed = old_address.sub(lambda found: moves[found[1]], text)
            if changed != text:
                write_text(file, changed)
