"""Markdown from text of any content: names from a store never act as markup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # ASCII punctuation: all that Markdown can read as markup


def escape(text: str) -> str:
    r"""Return Markdown that shows the text literally, in one line.

    Examples
    --------
    >>> print(escape("a_b | *c*"))
    a\_b \| \*c\*
    """
    return PUNCTUATION.sub(r"\\\g<0>", " ".join(text.split()))


def format_code(text: str) -> str:
    """Return Markdown that shows the text literally as code, in one line.

    Examples
    --------
    >>> format_code("a"), format_code("a`b")
    ('`a`', '`` a`b ``')
    """
    words = " ".join(text.split())
    if "|" in words:  # a table's cell ends there, and Markdown's dialects differ in how code escapes it
        return f"<code>{escape(words)}</code>"
    fence = "`" * (1 + max(map(len, re.findall("`+", words)), default=0))
    return f"{fence} {words} {fence}" if "`" in words or not words else f"`{words}`"


def format_link(text: str, address: str) -> str:
    """Return a link whose text is shown literally; only the text if the address is not that of a web page."""
    if not address.startswith(("http://", "https://", "/")):
        return escape(text)
    return f"[{escape(text)}]({quote(address, safe='/:?#&=%@+,;~!$*[]')})"


def show_markdown(*texts: str) -> None:
    """Show texts in Markdown below the cell."""
    from IPython.display import Markdown, display

    display(*map(Markdown, texts))


def format_table(rows: Mapping[str, str]) -> str:
    """Return a table of two columns without a heading: a name and a Markdown value in each row."""
    lines = [f"| {escape(name)} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])
