"""Tables for notebooks and widgets. Every cell is shown as plain text, whatever it contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

SHORT = 24  # characters: such a cell is one line
STYLE = """<style>
.boostlab-table { overflow-x: auto; color: var(--jp-content-font-color1, #222); font-size: 13px; line-height: 1.4; }
.boostlab-table table { border-collapse: collapse; }
.boostlab-table caption { text-align: left; font-weight: 600; padding: 4px 0; color: inherit; }
.boostlab-table th, .boostlab-table td { text-align: left !important; vertical-align: top; padding: 4px 12px 4px 0;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); max-width: 36em; overflow-wrap: anywhere; white-space: normal; }
.boostlab-table th { color: var(--jp-content-font-color2, #555); font-weight: 600; overflow-wrap: normal; }
.boostlab-table .number { text-align: right !important; font-variant-numeric: tabular-nums; }
.boostlab-table td.number, .boostlab-table td.short { white-space: nowrap; overflow-wrap: normal; }
.boostlab-table tr.marked td { font-weight: 600; background: var(--jp-layout-color2, #eee); }
.boostlab-table a { color: var(--jp-content-link-color, #0072b2); }
</style>"""
OPENING = f'{STYLE}<div class="boostlab-table mathjax_ignore tex2jax_ignore">'


@dataclass(frozen=True)
class Link:
    """Text with the address of a page."""

    text: str
    address: str

    def __str__(self) -> str:
        return self.text


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
        if not self.rows:
            return f"{OPENING}<p>{escape(self.title)}: {escape(self.empty)}</p></div>"
        figures = [all(isinstance(row[n], int | float | None) for row in self.rows) for n in range(len(self.columns))]
        kinds = [' class="number"' if is_figure else "" for is_figure in figures]
        head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, self.columns, strict=True))
        marks = [' class="marked"' if number in self.marked else "" for number in range(len(self.rows))]
        body = "".join(f"<tr{mark}>{''.join(map(_cell, row))}</tr>" for mark, row in zip(marks, self.rows, strict=True))
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"{OPENING}<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

    def __repr__(self) -> str:
        """Return the table as plain text."""
        if not self.rows:
            return f"{self.title}: {self.empty}"
        lines = [[str(name) for name in self.columns], *([_plain(item) for item in row] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        text = ["  ".join(item.ljust(width) for item, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *text])


def _cell(item: Any) -> str:
    text = _plain(item)
    kind = ' class="number"' if isinstance(item, int | float) else ' class="short"' if len(text) < SHORT else ""
    if isinstance(item, Link) and item.address.startswith(("http://", "https://")):
        return f'<td{kind}><a href="{escape(item.address)}" target="_blank" rel="noopener">{escape(text)}</a></td>'
    return f"<td{kind}>{escape(text)}</td>"


def _plain(item: Any) -> str:
    return "" if item is None else f"{item:.4g}" if isinstance(item, float) else " ".join(str(item).split())
