"""Presets: named sets of a notebook's values, the files ``parameters/<notebook>/<name>.yaml`` that papermill reads too."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from boostlab.errors import LabError
from boostlab.redaction import redact_parameters
from boostlab.tracking.store import find_project


def find_folder(notebook: Path) -> Path:
    """Return the folder of a notebook's presets, which need not exist."""
    return find_project(notebook) / "parameters" / notebook.stem


def list_presets(folder: Path, known: Collection[str]) -> list[str]:
    """Return the names of the presets in a folder; files with other keys than parameters, such as the gate's, are none."""
    return [path.stem for path in sorted(folder.glob("*.yaml")) if _may_be_preset(path, known)]


def read_preset(folder: Path, name: str) -> dict[str, Any]:
    """Return the values of a preset.

    Raises
    ------
    LabError
        If the file cannot be read, or is no mapping of names to values.
    """
    path = folder / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"The preset {path} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise LabError(f"The preset {path} has no values. Write one per line: eta: 0.3")
    return {str(key): value for key, value in values.items()}


def save_preset(folder: Path, name: str, values: Mapping[str, Any]) -> Path:
    """Write values as a new preset, and return its file.

    Raises
    ------
    LabError
        If the name is no file name or is taken, there is no value, a value is a secret, or the file cannot be written.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise LabError(f"A preset cannot have the name {name!r}. Allowed are letters, digits, and _ - . after the first.")
    if not values:
        raise LabError("A preset holds the values that differ from the defaults, and there is none. Change a value first.")
    secret = [key for key, value in values.items() if redact_parameters({key: value}) != {key: value}]
    if secret:
        raise LabError(f"{secret[0]} holds a secret, which no preset keeps. Empty it to save the other values.")
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write("# Saved from the form.\n" + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
    except FileExistsError:
        raise LabError(f"{path} exists, and no preset is overwritten. Choose another name.") from None
    except OSError as error:
        raise LabError(f"The preset {path} cannot be written: {error.strerror}.") from None
    return path


def _may_be_preset(path: Path, known: Collection[str]) -> bool:
    """Tell whether a file can be offered; one that cannot be read is offered, so that choosing it says what is wrong."""
    try:
        return set(read_preset(path.parent, path.stem)) <= set(known)
    except LabError:
        return True
