"""Artifacts that cannot be read: gone, or out of reach. Only the store's answer tells that something is gone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from boostlab.errors import StoreError
from boostlab.faults import describe_fault, find_kind

NEAREST = 3  # folders above the artifacts of a run or a model, up to the experiment's


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
