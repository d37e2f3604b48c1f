"""One section of a model card: text, a table, code and figures. All of it is shown as plain text, whatever it contains."""

from __future__ import annotations

from dataclasses import dataclass

from boostlab.display.markdown import escape
from boostlab.display.tables import Table


@dataclass(frozen=True)
class Section:
    """A section of a card."""

    title: str
    text: tuple[str, ...] = ()  #: paragraphs
    table: Table | None = None
    code: str = ""
    figures: tuple[str, ...] = ()  #: artifacts of the run that the HTML shows
    lacks: str = ""  #: what is missing and what to do, in a sentence; empty: nothing

    def to_markdown(self) -> str:
        """Return the section in Markdown, without its figures."""
        parts = [f"## {self.title}", *([f"**Missing:** {escape(self.lacks)}"] if self.lacks else []), *map(escape, self.text)]
        parts += [self.table.to_markdown()] if self.table else []
        parts += [f"```python\n{self.code}\n```"] if self.code else []
        return "\n\n".join(parts)
