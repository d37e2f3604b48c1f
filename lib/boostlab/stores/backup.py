"""Back up a SQLite store with its artifacts while runs write, and restore it.

The database is copied first, at one moment, by SQLite's own backup. The artifacts follow. A run or a model that is complete in
the database has all its artifacts by then, because its final status is written last; what is added later does no harm. A run
that was going on is KILLED in the backup, because nobody will end it there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from boostlab.errors import LabError, locate
from boostlab.stores.artifacts import find_files, local_folder
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.relocation import update_database
from boostlab.tracking.store import Store

MANIFEST = "backup.json"
FORMAT = 1
ARTIFACTS = "mlartifacts"
BUSY_TIMEOUT_S = 60
OPEN_RUNS = "SELECT run_uuid FROM runs WHERE status IN ('RUNNING', 'SCHEDULED')"
OPEN_MODELS = "SELECT model_id FROM logged_models WHERE status = 1"  # PENDING
NOTE_KILLED = "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES ('boostlab.reason', ?, ?)"
END_KILLED = "UPDATE runs SET end_time = ?, status = 'KILLED' WHERE run_uuid = ?"
PLACES = "SELECT artifact_uri, run_uuid FROM runs UNION SELECT artifact_location, model_id FROM logged_models"
REASON = "The run was going on when the backup was made."


@dataclass(frozen=True)
class Backup:
    """What a backup holds: its manifest."""

    database: str  #: name of the file of the store
    time_ms: int
    runs: int
    digests: dict[str, str]  #: SHA-256 of each file
    elsewhere: list[str] = field(default_factory=list)  #: addresses of artifacts that are not in it

    @property
    def files(self) -> int:
        """Number of the artifacts."""
        return len(self.digests) - 1


@dataclass(frozen=True)
class _Contents:
    """What a copied database names."""

    time_ms: int
    runs: int
    folders: dict[str, Path]  #: of each experiment on this machine, in the backup, by its address
    places: list[tuple[str, str]]  #: address and id of each run and logged model
    open_ids: set[str]  #: of those that are not complete


def backup_store(store: Store, file: Path) -> Backup:
    """Write a SQLite store with its artifacts into a new tar file, compressed if its name ends in ``.gz``.

    Raises
    ------
    LabError
        If the store is of another kind, the file exists, or an artifact vanishes meanwhile.
    """
    if store.scheme != "sqlite":
        advice = "Back up a database or a server with its own tools, or copy it into a SQLite store first: boostlab copy"
        raise LabError(f"{store.shown} is no SQLite store. {advice}")
    if file.exists():
        raise LabError(f"{file} exists, and is not overwritten. Choose another name.")
    if not file.parent.is_dir():
        raise LabError(f"There is no folder {locate(file.parent)}. Make it, or choose another one.")
    check_reachable(store)
    draft = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with tempfile.TemporaryDirectory(prefix=".boostlab-", dir=file.parent) as temporary:
            mode: Literal["w", "w:gz"] = "w:gz" if file.suffix == ".gz" else "w"
            with os.fdopen(handle, "wb") as target, tarfile.open(fileobj=target, mode=mode) as tar:
                made = _write(store, tar, Path(temporary))
        draft.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise LabError(f"The backup cannot be made: {error}. Make room or correct it, and run it again.") from None
    finally:
        draft.unlink(missing_ok=True)
    return made


def restore_store(file: Path, folder: Path) -> tuple[Path, Backup]:
    """Restore a backup into a new or empty folder; return the store's database file and the manifest.

    Raises
    ------
    LabError
        If the folder is not empty, or the file is no whole backup; the folder stays empty then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabError(f"{folder} is not empty, and nothing is overwritten. Name a new or an empty folder.")
    folder = folder.resolve()
    draft = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}")
    try:
        draft.mkdir(parents=True)
        with tarfile.open(file) as tar:
            tar.extractall(draft, filter="data")
        made = _check(draft)
        (draft / MANIFEST).unlink()
        draft.replace(folder)
    except (OSError, tarfile.TarError, EOFError, ValueError, TypeError, KeyError) as error:
        raise LabError(f"{file} cannot be restored: {error}. It must be a whole file that `boostlab backup` made.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / made.database, made


def _write(store: Store, tar: tarfile.TarFile, temporary: Path) -> Backup:
    snapshot = temporary / store.path.name
    with closing(sqlite3.connect(store.path, timeout=BUSY_TIMEOUT_S)) as live, closing(sqlite3.connect(snapshot)) as copy:
        live.backup(copy)
    contents = _end_runs(snapshot)
    update_database(snapshot, {location: Path("/backup", folder).as_uri() for location, folder in contents.folders.items()})
    digests = {snapshot.name: _add(tar, snapshot, snapshot.name, temporary)}
    for folder in contents.folders.values():  # also the empty ones: by its folder a restored store finds an experiment
        entry = tarfile.TarInfo(folder.as_posix())
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elsewhere = set()
    for location, identity in contents.places:
        parent = next((known for known in contents.folders if location.startswith(f"{known}/")), "")
        source = local_folder(location)
        if not parent or source is None:
            elsewhere.add(Store(location).shown)
            continue
        inside = contents.folders[parent] / location.removeprefix(f"{parent}/")
        for name, path in find_files(source).items():
            try:
                digests[f"{inside}/{name}"] = _add(tar, path, f"{inside}/{name}", temporary)
            except FileNotFoundError:
                if identity not in contents.open_ids:
                    raise
    made = Backup(snapshot.name, contents.time_ms, contents.runs, digests, sorted(elsewhere))
    text = json.dumps({"format": FORMAT, **asdict(made)}).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text))
    return made


def _end_runs(snapshot: Path) -> _Contents:
    """Give each open run in the copied database the status KILLED, and return what the database names."""
    now = int(time.time() * 1000)
    with closing(sqlite3.connect(snapshot)) as database, database:
        experiments = database.execute("SELECT artifact_location, experiment_id FROM experiments")
        folders = {place: Path(ARTIFACTS) / str(number) for place, number in experiments if local_folder(place or "")}
        open_runs, open_models = ({each for (each,) in database.execute(query)} for query in (OPEN_RUNS, OPEN_MODELS))
        places = [*database.execute(PLACES)]
        runs = database.execute("SELECT count(*) FROM runs").fetchone()[0]
        database.executemany(NOTE_KILLED, [(REASON, run_id) for run_id in open_runs])
        database.executemany(END_KILLED, [(now, run_id) for run_id in open_runs])
    return _Contents(now, runs, folders, places, open_runs | open_models)


def _add(tar: tarfile.TarFile, path: Path, name: str, temporary: Path) -> str:
    """Add a file, which may grow meanwhile, as it is now, and return its SHA-256."""
    with tempfile.NamedTemporaryFile(dir=temporary) as fixed:
        with path.open("rb") as source:
            shutil.copyfileobj(source, fixed)
        fixed.seek(0)
        digest = hashlib.file_digest(fixed, "sha256").hexdigest()
        entry = tar.gettarinfo(fileobj=fixed, arcname=name)
        entry.mode, entry.mtime = 0o644, int(path.stat().st_mtime)
        fixed.seek(0)
        tar.addfile(entry, fixed)
    return digest


def _check(folder: Path) -> Backup:
    """Return the manifest of an extracted backup, or raise a ValueError if a file is missing or damaged."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ValueError("it holds no backup.json")
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    if facts.pop("format") != FORMAT:
        raise ValueError("another version of boostlab made it")
    made = Backup(**facts)
    for name, digest in made.digests.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(f"{name} is damaged")
    return made
