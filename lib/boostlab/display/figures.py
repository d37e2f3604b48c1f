"""What all figures share: width, colours, type size, the place of title and legend, labels that are plain text.

A figure here is never on matplotlib's global canvas: it is made, drawn on and returned. Its ground is transparent and its text
black: :mod:`boostlab.display.pictures` gives both the colours of the page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, NullLocator

from boostlab.display.numbers import format_number

# Those of Okabe and Ito's colours that stand out on white and on black; people with colour blindness can tell them apart
# (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
INK = "black"  # the colour of text
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK)
REFERENCE: dict[str, Any] = {"color": GREY, "linewidth": 1.2, "linestyle": "--"}  # a line to compare with
LINE_STYLES = ("-", "--", ":", "-.")
WIDTH_IN = 8.0  # 768 pixels in a page
TYPE_PT = 10.0
CHARACTER_PT = 6.2  # mean width
LINE_PT = 14.5
NARROWER = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # shares of the room that may give as many lines
SPACE_PT = 3.5  # between words of a title
MOST_POINTS = 500  # a figure in a notebook holds more points as one image, which is smaller


def make_axes(height_in: float) -> Axes:
    """Return the only axes of a new figure."""
    return make_mosaic([["axes"]], height_in=height_in)[1]["axes"]


def make_mosaic(
    layout: Sequence[Sequence[str]], *, height_in: float, share_y: bool = False, height_ratios: Sequence[float] | None = None
) -> tuple[Figure, dict[str, Axes]]:
    """Return a new figure and its axes by their names; `layout` names the axes at each place, an empty text none."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="none")
    rows: Any = [list(row) for row in layout]
    ground = {"facecolor": "none"}
    mosaic = figure.subplot_mosaic(rows, sharey=share_y, empty_sentinel="", height_ratios=height_ratios, subplot_kw=ground)
    for axes in mosaic.values():
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, labelsize=TYPE_PT)
        axes.grid(color=INK, alpha=0.15, linewidth=0.8)
        axes.set_axisbelow(True)
        if len(rows[0]) > 1:
            axes.locator_params(axis="x", nbins=4)  # numbers of six digits fit
    return figure, mosaic


def make_message(text: str) -> Figure:
    """Return a figure that shows one sentence, for data that cannot be drawn."""
    figure = Figure(figsize=(WIDTH_IN, 0.6), layout="constrained", facecolor="none")
    figure.text(0.01, 0.5, text, va="center", fontsize=TYPE_PT)
    return figure


def finish_axes(axes: Axes, title: str, *, x: str = "", y: str = "", labels: tuple[list[Any], list[str]] | None = None) -> Figure:
    """Write the title, the names of both axes and, between title and data, the legend; return the figure.

    Parameters
    ----------
    labels : tuple of list and list of str, optional
        The handles and texts of the legend; without it, all that have a label.
    """
    room, height = _find_room(axes)
    handles, texts = labels or axes.get_legend_handles_labels()
    rows = 0
    if texts:
        is_line = sum(map(len, texts)) + 6 * len(texts) <= room
        columns = len(texts) if is_line else max(1, room // (max(map(len, texts)) + 6))
        rows = ceil(len(texts) / columns)
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3, "borderpad": 0}
        axes.legend(handles, texts, ncols=columns, frameon=False, fontsize=TYPE_PT, columnspacing=1.5, labelspacing=0.3, **above)
    lines = _wrap_title(title, 0.95 * room * CHARACTER_PT)
    axes.set_title(lines, loc="left", fontsize=TYPE_PT, fontweight="bold", pad=6 + rows * LINE_PT)
    axes.set_xlabel(textwrap.fill(x, room, break_long_words=False), fontsize=TYPE_PT)
    axes.set_ylabel(textwrap.fill(y, max(height, 16), break_long_words=False), fontsize=TYPE_PT)
    return cast(Figure, axes.figure)


def name_ticks(axes: Axes, labels: Sequence[str], *, shift: float = 0.0) -> None:
    """Write labels below the places 0, 1, 2 …, each plus `shift`, turned by 45 degrees where they would overlap."""
    axes.set_xticks([place + shift for place in range(len(labels))], labels)
    if (max(map(len, labels), default=0) + 2) * len(labels) > _find_room(axes)[0]:
        for text in axes.get_xticklabels():
            text.set(rotation=45, ha="right", rotation_mode="anchor")


def scale_log(axes: Axes, low: float, high: float, *, side: bool = False) -> None:
    """Give the axes a logarithmic scale for positive numbers from `low` to `high`, with plain numbers as labels.

    Parameters
    ----------
    side : bool
        The scale is that of the y axis.
    """
    (axes.set_yscale if side else axes.set_xscale)("log")
    axis = axes.yaxis if side else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,), numticks=5))
    axis.set_major_formatter(lambda value, _: format_number(value))
    axis.set_minor_locator(NullLocator())


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


def shorten_names(texts: Sequence[str], most: int = 30) -> list[str]:
    r"""Return texts as labels of at most `most` characters; where their starts do not tell them apart, with their ends.

    Examples
    --------
    >>> shorten_names(["category one", "category two"], 8)
    ['cat… one', 'cat… two']
    """
    labels = [shorten_label(text, most) for text in texts]
    if len(set(labels)) == len(set(texts)):
        return labels
    words = [" ".join(text.split()) for text in texts]
    end = most // 2
    return [shorten_label(text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}", most) for text in words]


def choose_line(position: int) -> dict[str, Any]:
    """Return the colour and the line style of the line at a position; 20 lines differ."""
    style = LINE_STYLES[position // len(COLOURS) % len(LINE_STYLES)]
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": style}


def _wrap_title(title: str, room_pt: float) -> str:
    """Break a title into the fewest lines that fit the room, then as even as possible; a longer word has a line of its own."""
    words = [(word, _measure_title(word)) for word in title.split()]
    lines = _fill_lines(words, room_pt)
    ways = [_fill_lines(words, share * room_pt) for share in NARROWER] if len(lines) > 1 else []
    return "\n".join(next((way for way in ways if len(way) == len(lines)), lines))


def _fill_lines(words: Sequence[tuple[str, float]], room_pt: float) -> list[str]:
    """Return lines of words, each with its width in points, as full as the room allows."""
    lines, left_pt = [""], room_pt
    for word, width_pt in words:
        if lines[-1] and width_pt + SPACE_PT > left_pt:
            lines.append("")
            left_pt = room_pt
        lines[-1] += f" {word}" if lines[-1] else word
        left_pt -= width_pt + SPACE_PT
    return lines


def _measure_title(text: str) -> float:
    """Return the width of a line of a title, in points."""
    font = FontProperties(size=TYPE_PT, weight="bold")
    width: float = text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), font, ismath=False)[0]
    return width


def _find_room(axes: Axes) -> tuple[int, int]:
    """Return how many characters fit beside the width and the height of the axes, before the figure is laid out."""
    width, height = cast(Figure, axes.figure).get_size_inches()
    place = axes.get_position()
    return int(72 * width * place.width / CHARACTER_PT), int(72 * height * place.height / CHARACTER_PT)


@cache
def _read_font() -> frozenset[int]:
    """Return the code points that the default font can draw."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
