"""Tips: what a browser shows while the mouse rests on a mark of a figure. They are its own tooltips: no script, no network.

A function that draws marks says with :func:`add_tips` what they mean. :mod:`boostlab.display.pictures` puts them over the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.errors import show_controls

MOST_TIPS = 500  # of a figure: they are part of the notebook's file
MOST_LINES = 6  # of a tip of marks at one place
MOST_CHARACTERS = 200  # of a mark
APART = 0.004  # of the figure's width: marks that are closer have one tip


@dataclass(frozen=True)
class Tip:
    """A tip and its place, in percent of the width from the left and of the height from the top."""

    left: float
    top: float
    text: str


class _Marks(Artist):
    """The marks of an axes, as a part of the axes that draws nothing: it goes when the axes is cleared or removed."""

    def __init__(self, places: np.ndarray[Any, Any], texts: list[str]) -> None:
        super().__init__()
        self.places = places  # data coordinates, of shape (n_marks, 2)
        self.texts = texts
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Draw nothing."""


def add_tips(axes: Axes, x: Any, y: Any, texts: Sequence[str]) -> None:
    """Say what marks that are drawn mean. The first ones are the most important: 500 of a figure have a tip.

    Parameters
    ----------
    x, y : array_like of shape (n_marks,)
        Where the marks are, as they were given to the axes: numbers, dates, or names of categories. Masked marks have no tip.
    texts : sequence of str of shape (n_marks,)
        What each mark shows, as plain text; its first 200 characters are shown.

    Raises
    ------
    ValueError
        If the three have different lengths.
    """
    convert: Any = axes
    columns = [_to_numbers(convert.convert_xunits(x)), _to_numbers(convert.convert_yunits(y))]
    if {len(column) for column in columns} != {len(texts)}:
        raise ValueError(f"{len(columns[0])} x, {len(columns[1])} y and {len(texts)} texts: each mark takes one of each.")
    axes.add_artist(_Marks(np.column_stack(columns), [_shorten(str(text)) for text in texts]))


def place_tips(figure: Figure) -> list[Tip]:
    """Return the tips of a figure that has been laid out: those of marks at one place together, no marks outside their axes."""
    found: dict[tuple[int, int], tuple[float, float, dict[str, None]]] = {}
    size = figure.bbox.width, figure.bbox.height
    every: list[Any] = figure.findobj(_Marks)
    for turn in zip_longest(*(_locate(marks, size) for marks in every)):  # each axes gets its share
        for left, top, text in filter(None, turn):
            key = round(left / APART), round(top * size[1] / size[0] / APART)
            found.setdefault(key, (left, top, {}))[2][text] = None
    first = list(found.values())[:MOST_TIPS]
    return [Tip(round(100 * left, 2), round(100 * top, 2), _join(list(texts))) for left, top, texts in first]


def _to_numbers(values: Any) -> np.ndarray[Any, Any]:
    """Return converted values as numbers; NaN where they are masked."""
    return np.ma.filled(np.ma.asarray(values).astype(float), np.nan)


def _shorten(text: str) -> str:
    """Return the start of a text, with what steers a display made visible."""
    shown = show_controls(" ".join(text[: 2 * MOST_CHARACTERS].split())).encode("utf-8", "replace").decode()
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 1]}…"


def _locate(marks: _Marks, size: tuple[float, float]) -> list[tuple[float, float, str]]:
    """Return each mark inside its axes: its share of the width from the left, of the height from the top, and its text."""
    axes: Any = marks.axes
    box = axes.bbox.padded(1.0)
    places = axes.transData.transform(marks.places).tolist()
    rows = [(x, y, text) for (x, y), text in zip(places, marks.texts, strict=True) if box.contains(x, y)]
    return [(x / size[0], 1 - y / size[1], text) for x, y, text in rows]


def _join(texts: Sequence[str]) -> str:
    more = f"\n… and {len(texts) - MOST_LINES:,} more" if len(texts) > MOST_LINES else ""
    return "\n".join(texts[:MOST_LINES]) + more
