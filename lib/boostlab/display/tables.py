"""Tables for notebooks and widgets. Every cell is shown as plain text, whatever it contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boostlab.display.html import render_html
from boostlab.display.markdown import escape
from boostlab.display.numbers import format_number
from boostlab.errors import show_controls

NARROW_COLUMNS = 6  # fit into a narrow place
SHORT, LONG = 24, 40  # characters: a shorter word stays whole, a longer text gets a wider column


@dataclass(frozen=True)
class Link:
    """Text with the address of a page."""

    text: str
    address: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Details:
    """A short text that opens to show more: a sentence or links."""

    text: str
    more: Sequence[Any]

    def __str__(self) -> str:
        return f"{self.text} ({'; '.join(map(str, self.more))})"


@dataclass(frozen=True)
class Table:
    """Rows with a heading for each column; `marked` are the positions of highlighted rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    marked: Sequence[int] = ()
    empty: str = "none"

    def _repr_html_(self) -> str:
        """Return HTML in which neither a browser nor MathJax interprets the content of a cell."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        figures = [all(isinstance(item, int | float | None) for item in column) for column in columns]
        cells = [[_Cell.of(item) for item in row] for row in self.rows]
        heads = list(zip(self.columns, figures, strict=True))
        return render_html("table.html.j2", table=self, heads=heads, cells=cells, is_wide=len(self.columns) > NARROW_COLUMNS)

    def to_markdown(self) -> str:
        """Return the table in Markdown, without its title; every cell is shown as plain text."""
        lines = [[escape(str(name)) for name in self.columns], ["---"] * len(self.columns)]
        lines += [[escape(_plain(item)) for item in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __repr__(self) -> str:
        """Return the table as plain text."""
        if not self.rows:
            return f"{self.title}: {self.empty}"
        lines = [[str(name) for name in self.columns], *([_plain(item) for item in row] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        text = ["  ".join(item.ljust(width) for item, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *text])


@dataclass(frozen=True)
class _Cell:
    """What the template shows of an item: its text, how it is aligned, its address, and what opens below it."""

    text: str
    kind: str
    address: str
    more: Sequence[_Cell] = ()

    @classmethod
    def of(cls, item: Any) -> _Cell:
        if isinstance(item, Details):
            return cls(_plain(item.text), "details", "", [cls.of(each) for each in item.more])
        return cls(_plain(item), _class(item), _address(item))


def _class(item: Any) -> str:
    text = _plain(item)
    longest = max(map(len, text.split()), default=0)
    is_long = longest >= SHORT or len(text) > LONG
    return "number" if isinstance(item, int | float) else "long" if is_long else "short" if longest == len(text) else ""


def _address(item: Any) -> str:
    return item.address if isinstance(item, Link) and item.address.startswith(("http://", "https://")) else ""


def _plain(item: Any) -> str:
    return "" if item is None else format_number(item) if isinstance(item, float) else show_controls(" ".join(str(item).split()))
