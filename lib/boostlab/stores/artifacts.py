"""The artifacts of runs and logged models: list, fetch and digest them, wherever they are."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from boostlab.tracking.store import OpenStore, Store

DESCRIPTION = "MLmodel"  # the file of a model that names the run, the model and its place


def local_folder(location: str) -> Path | None:
    """Return the folder of artifacts that lie on this machine, else None."""
    return Path(location) if location.startswith("/") else Store(location).path if location.startswith("file:") else None


def open_repository(store: OpenStore, location: str) -> Any:
    """Return MLflow's access to the artifacts at an address."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(location, tracking_uri=store.uri, registry_uri=store.uri)


def list_files(store: OpenStore, location: str) -> dict[str, int]:
    """Return the size in bytes of each file below an address."""
    if folder := local_folder(location):
        return {name: path.stat().st_size for name, path in find_files(folder).items()}
    return dict(_walk(open_repository(store, location), None))


def fetch_files(store: OpenStore, location: str, folder: Path, *, edit: Callable[[str], str] = str) -> dict[str, str]:
    """Fetch all files below an address into a new folder, and return the SHA-256 of each.

    Parameters
    ----------
    edit : callable
        Changes the text of each model's ``MLmodel``.
    """
    folder.mkdir(parents=True)
    local, repository = local_folder(location), open_repository(store, location)
    if local and local.is_dir():  # MLflow's own way refuses names with a # or a %
        shutil.copytree(local, folder, dirs_exist_ok=True)
    elif repository.list_artifacts():
        repository.download_artifacts("", str(folder))
    paths = find_files(folder)
    for path in paths.values():
        if path.name == DESCRIPTION:
            path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    return {name: _digest(path) for name, path in paths.items()}


def send_files(store: OpenStore, location: str, folder: Path, names: set[str]) -> None:
    """Send files of a local folder to an address; the folder is empty of other files afterwards."""
    for name, path in find_files(folder).items():
        if name not in names:
            path.unlink()
    open_repository(store, location).log_artifacts(str(folder))


def find_files(folder: Path) -> dict[str, Path]:
    """Return the files below a local folder by their relative names."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _walk(repository: Any, path: str | None) -> Iterator[tuple[str, int]]:
    for item in repository.list_artifacts(path):
        if item.is_dir:
            yield from _walk(repository, item.path)
        else:
            yield item.path, int(item.file_size or 0)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
