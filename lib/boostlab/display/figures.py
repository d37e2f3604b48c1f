"""What all figures share: colours, size, axes without a box, labels that are plain text.

A figure here is never on matplotlib's global canvas: it is made, drawn on and returned.
"""

from __future__ import annotations

import textwrap
from functools import cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

# Okabe and Ito's colours, which people with colour blindness can tell apart (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")
WIDTH_IN = 8.0


def make_figure(height_in: float, *, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """Return a figure and its only axes."""
    figure, axes = make_grid(1, 1, height_in=height_in, width_in=width_in)
    return figure, axes[0, 0]


def make_grid(
    rows: int, columns: int, *, height_in: float, width_in: float = WIDTH_IN, share_y: bool = False
) -> tuple[Figure, Any]:
    """Return a figure and its axes, an ndarray of shape (rows, columns)."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=share_y, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, grid


def make_message(text: str) -> Figure:
    """Return a figure that shows one sentence, for data that cannot be drawn."""
    figure = Figure(figsize=(WIDTH_IN, 0.6), layout="constrained")
    figure.text(0.01, 0.5, text, va="center", color=GREY)
    return figure


def shorten_label(text: object, most: int = 30, *, line: int = 0) -> str:
    r"""Return a text of at most `most` characters as matplotlib shows it literally, without formulas.

    Characters that the font does not have are replaced. It is one line, unless the length of a `line` is given. A space comes
    before an underscore at the start: a legend leaves such labels out.

    Examples
    --------
    >>> shorten_label("a$b"), shorten_label("a long name", 7)
    ('a\\$b', 'a long…')
    """
    words = "".join(sign if ord(sign) in _read_font() else "\ufffd" for sign in " ".join(str(text).split()))
    short = words if len(words) <= most else f"{words[: most - 1]}…"
    lines = textwrap.fill(short, line) if line else short
    return f"{' ' if short.startswith('_') else ''}{lines}".replace("$", r"\$")


def choose_line(position: int) -> dict[str, str]:
    """Return the colour and the line style of the line at a position; 28 lines differ."""
    style = LINE_STYLES[position // len(COLOURS) % len(LINE_STYLES)]
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": style}


@cache
def _read_font() -> frozenset[int]:
    """Return the code points that the default font can draw."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
