"""Values in the form that the store takes: metrics as floats, and tags that are not longer than a tag may be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from boostlab.errors import LabError
from boostlab.tracking.facts import TAG_LENGTH


def to_number(name: str, value: Any) -> float:
    """Return a number of any kind, such as those of numpy, as a float."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise LabError(f"The metric {name!r} is {value!r}. A metric is a number.") from None


def thin_reports(reports: Mapping[int, float]) -> str:
    """Return JSON with as many of the reports as a tag can hold: every second one, or fewer, and the last one."""
    for stride in itertools.count(1):
        text = json.dumps(dict([*list(reports.items())[:-1][::stride], *list(reports.items())[-1:]]))
        if len(text) <= TAG_LENGTH:
            return text
    raise AssertionError


def to_tag(items: list[str] | dict[str, Any]) -> str:
    """Return JSON with as many of the items as a tag can hold."""
    count = len(items)
    while True:
        text = json.dumps(items[:count] if isinstance(items, list) else dict(itertools.islice(items.items(), count)))
        if len(text) <= TAG_LENGTH:
            return text
        count = min(count - 1, count * TAG_LENGTH // len(text))
