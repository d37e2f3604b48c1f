"""Artifacts of a run, and those that cannot be read: gone, or out of reach. Only the store tells that something is gone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from boostlab.errors import LabError, StoreError
from boostlab.faults import describe_fault, find_kind

if TYPE_CHECKING:
    from mlflow import MlflowClient

Read = TypeVar("Read")
NEAREST = 3  # folders above the artifacts of a run or a model, up to the experiment's


def fetch_artifact(client: MlflowClient, run_id: str, path: str, read: Callable[[Path], Read]) -> Read | None:
    """Return what `read` reads from a run's artifact, or None if the run does not have it.

    Raises
    ------
    StoreError
        If the run's artifacts cannot be read.
    """
    location, parent = "", path.rpartition("/")[0]
    try:
        location = client.get_run(run_id).info.artifact_uri
        check_place(location)
        if path not in [item.path for item in client.list_artifacts(run_id, parent or None)]:  # of ".", a server lists "./name"
            return None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(client.download_artifacts(run_id, path, folder))
            try:
                return read(file)
            except (OSError, ValueError, KeyError) as error:  # Arrow's and JSON's errors are ValueErrors
                reason = (str(error).strip() or "damaged").splitlines()[0]
                raise LabError(f"{path} of the run {run_id} cannot be read: {reason}") from None
    except LabError:
        raise
    except Exception as error:  # whatever the client of an artifact store raises
        what, folder = f"The artifacts of the run {run_id}", f"{location}/{parent}".rstrip("/")
        raise explain_unreadable(error, what, location=folder, needed=Path(path).name, tracking_uri=client.tracking_uri) from None


def check_place(location: str) -> None:
    """Raise a StoreError if a local folder of artifacts may lie elsewhere: neither it nor a folder near above it exists."""
    path = Path(unquote(urlsplit(location).path))
    if location.startswith(("file:", "/")) and not any(folder.is_dir() for folder in (path, *path.parents[:NEAREST])):
        raise StoreError(
            f"The folder {path} cannot be found here, nor those above it. Has it been moved, or is its disk not mounted? "
            "Do not train again: the artifacts may still be there."
        )


def explain_unreadable(error: Exception, what: str, *, location: str, needed: str, tracking_uri: str) -> StoreError:
    """Return the error to raise for artifacts that cannot be read.

    Parameters
    ----------
    what : str
        The artifacts, in words.
    location : str
        Address of the folder in which the file `needed` should be.
    """
    kind = "gone" if _is_absent(location, needed, tracking_uri) else find_kind(error)
    reason = describe_fault(error, tracking_uri)
    if kind == "gone":
        return StoreError(f"{what} are gone: {reason}. Restore them, or train and register again.", kind=kind)
    advice = "They may still be there: do not train again, but make their place readable."
    return StoreError(f"{what} cannot be read: {reason}. {advice}", kind=kind)


def _is_absent(location: str, needed: str, tracking_uri: str) -> bool:
    """Tell whether the store's answer is that a folder lacks a file."""
    from mlflow.artifacts import list_artifacts

    try:
        listed = list_artifacts(artifact_uri=location, tracking_uri=tracking_uri)
    except Exception:  # no answer
        return False
    return needed not in [Path(item.path).name for item in listed]
