"""A reader of UBJSON as XGBoost writes it, which refuses everything else: it and XGBoost read the same from the same bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

NUMBERS = {"i": "i1", "U": "u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4"}  # UBJSON's markers, as numpy's types
MOST_LEVELS = 12  # of nested objects
DAMAGES = (KeyError, TypeError, AttributeError, IndexError, OverflowError, struct.error)  # what reading damaged content raises


def parse_ubjson(content: bytes) -> Any:
    """Return the value: a dict, list, str, bool, int, float or None; a typed array is an ndarray.

    Raises
    ------
    ValueError
        If the content is no such UBJSON; also an error in `DAMAGES`.
    """
    value, end = _parse(content, 1, chr(content[0]) if content else "", MOST_LEVELS)
    _require(end == len(content), "bytes after its end")
    return value


def _parse(content: bytes, at: int, marker: str, levels: int) -> tuple[Any, int]:
    """Return the value whose marker ends before the position `at`, and the position after it."""
    _require(levels > 0, "nested too deeply")
    if marker == "{":
        found: dict[str, Any] = {}
        while content[at] != 0x7D:  # }
            key, at = _parse_text(content, at)
            _require(key not in found, f"{key!r} stands twice")
            found[key], at = _parse(content, at + 1, chr(content[at]), levels - 1)
        return found, at + 1
    if marker == "[":
        return _parse_array(content, at, levels)
    if marker == "S":
        return _parse_text(content, at)
    if marker in NUMBERS:
        number = np.frombuffer(content, NUMBERS[marker], 1, at)
        return number[0].item(), at + number.nbytes
    _require(marker in "TFZ", f"unknown marker {marker!r}")
    return {"T": True, "F": False, "Z": None}[marker], at


def _parse_array(content: bytes, at: int, levels: int) -> tuple[Any, int]:
    if content[at] == 0x24:  # $, the type of all items
        kind, at = np.dtype(NUMBERS[chr(content[at + 1])]), at + 2
        count, at = _parse_count(content, at, b"#L")
        _require(count * kind.itemsize <= len(content) - at, "it ends too early")
        return np.frombuffer(content, kind, count, at), at + count * kind.itemsize
    count, at = _parse_count(content, at, b"#L")
    items = []
    for _ in range(count):
        item, at = _parse(content, at + 1, chr(content[at]), levels - 1)
        items.append(item)
    return items, at


def _parse_text(content: bytes, at: int) -> tuple[str, int]:
    length, at = _parse_count(content, at, b"L")
    _require(length <= len(content) - at, "it ends too early")
    return content[at : at + length].decode(), at + length


def _parse_count(content: bytes, at: int, marker: bytes) -> tuple[int, int]:
    _require(content.startswith(marker, at), "a length is missing")
    at += len(marker)
    count: int = struct.unpack_from(">q", content, at)[0]
    _require(count >= 0, "a negative length")
    return count, at + 8


def _require(condition: object, fault: str) -> None:
    if not condition:
        raise ValueError(f"The file is no UBJSON of XGBoost: {fault}.")
