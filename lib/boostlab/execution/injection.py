"""Injected parameters: values of Python's API as plain values, such as a number of numpy as a number.

papermill writes a value that it does not know as text into the notebook, and cannot save it in the notebook's metadata.
"""

from __future__ import annotations

import datetime
import numbers
import os
from collections.abc import Mapping
from typing import Any

from papermill.translators import translate_parameters

INJECTED = "injected-parameters"  # papermill's tag of the cell


def inject_plain_values(notebook: Any, kernel_name: str) -> dict[str, Any]:
    """Replace the injected values of a notebook by plain ones, in its cell and its metadata, and return them."""
    given = dict(notebook.metadata.papermill.get("parameters", {}))
    plain = {name: to_plain(value) for name, value in given.items()}
    if repr(plain) != repr(given):
        notebook.metadata.papermill["parameters"] = plain
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", []):
                cell.source = translate_parameters(kernel_name, "python", plain)
    return plain


def to_plain(value: Any) -> Any:
    """Return a value as text, number, truth value, list or dict; a value of another type stays.

    Examples
    --------
    >>> from pathlib import Path
    >>> to_plain({"path": Path("a/b.csv"), "sizes": (1, 2)})
    {'path': 'a/b.csv', 'sizes': [1, 2]}
    """
    match value:
        case bool() | str() | None:
            return value
        case Mapping():
            return {str(name): to_plain(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_plain(item) for item in value]
        case os.PathLike():
            return os.fspath(value)
        case datetime.date():
            return value.isoformat()
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value)
    return to_plain(value.tolist()) if hasattr(value, "tolist") else value  # numpy's truth values and arrays
