"""Tips: what a browser shows while the mouse rests on a mark of a figure. They are its own tooltips: no script, no network.

A function that draws marks says with :func:`add_tips` what they mean. :mod:`boostlab.display.pictures` puts them over the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

ATTRIBUTE = "boostlab_marks"  # of a figure
MOST_TIPS = 500  # of a figure: they are part of the notebook's file
MOST_LINES = 6  # of a tip of marks at one place
APART = 0.004  # of the figure's width: marks that are closer have one tip


@dataclass(frozen=True)
class Tip:
    """A tip and its place, in percent of the width from the left and of the height from the top."""

    left: float
    top: float
    text: str


@dataclass(frozen=True)
class _Marks:
    axes: Axes
    places: np.ndarray[Any, Any]  # data coordinates, of shape (n_marks, 2)
    texts: Sequence[str]


def add_tips(axes: Axes, x: ArrayLike, y: ArrayLike, texts: Sequence[str]) -> None:
    """Say what the marks of an axes mean; the first marks are the most important, of which 500 in a figure have a tip.

    Parameters
    ----------
    x, y : array_like of shape (n_marks,)
        Where the marks are, in the axes' data.
    texts : sequence of str of shape (n_marks,)
        What each mark shows, as plain text.
    """
    places = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    vars(axes.figure).setdefault(ATTRIBUTE, []).append(_Marks(axes, places, list(texts)))


def place_tips(figure: Figure) -> list[Tip]:
    """Return the tips of a figure that has been laid out: those of marks at one place together, no marks outside their axes."""
    found: dict[tuple[int, int], tuple[float, float, list[str]]] = {}
    size = figure.bbox.width, figure.bbox.height
    for turn in zip_longest(*(_locate(marks, size) for marks in vars(figure).get(ATTRIBUTE, []))):  # each axes gets its share
        for left, top, text in filter(None, turn):
            key = round(left / APART), round(top * size[1] / size[0] / APART)
            texts = found.setdefault(key, (left, top, []))[2]
            if text not in texts:
                texts.append(text)
    first = list(found.values())[:MOST_TIPS]
    return [Tip(round(100 * left, 2), round(100 * top, 2), _join(texts)) for left, top, texts in first]


def _locate(marks: _Marks, size: tuple[float, float]) -> list[tuple[float, float, str]]:
    """Return each mark inside its axes: its share of the width from the left, of the height from the top, and its text."""
    places = marks.axes.transData.transform(marks.places)
    box = marks.axes.bbox.padded(1.0)
    rows = [(x, y, text) for (x, y), text in zip(places.tolist(), marks.texts, strict=True) if box.contains(x, y)]
    return [(x / size[0], 1 - y / size[1], text) for x, y, text in rows]


def _join(texts: Sequence[str]) -> str:
    more = f"\n… and {len(texts) - MOST_LINES:,} more" if len(texts) > MOST_LINES else ""
    return "\n".join(texts[:MOST_LINES]) + more
