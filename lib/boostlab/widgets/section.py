"""A group of a form's fields below a button that opens and closes it."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets

from boostlab.widgets.fields import Field


class Section:
    """A group of fields; its `button` says whether it is open, and how many of its fields are changed."""

    def __init__(self, title: str, fields: Sequence[Field]) -> None:
        self.title, self.fields = title, fields
        self._is_open = False
        self.button = ipywidgets.Button(layout={"width": "auto", "align_self": "flex-start"}, style={"font_weight": "bold"})
        self.button.on_click(lambda _: self.toggle())
        rows = ipywidgets.VBox([field.row for field in fields], layout={"overflow": "visible", "padding": "4px 0 0"})
        self._rows = rows
        self.widget = ipywidgets.VBox([self.button, rows], layout={"overflow": "visible"})
        self.show()

    @property
    def is_shown(self) -> bool:
        """Whether the group, or its button alone, is on the screen."""
        return bool(self.widget.layout.display != "none")

    def toggle(self) -> None:
        """Open or close the group."""
        self._is_open = not self._is_open
        self.show()

    def show(self) -> None:
        """Show the whole group, or its button alone."""
        self._show(self.fields, is_open=self._is_open)

    def show_only(self, fields: Sequence[Field]) -> None:
        """Show some of the fields, whether the group is open or not; without any, hide the group."""
        self._show(fields, is_open=True)
        self.widget.layout.display = "" if fields else "none"

    def _show(self, fields: Sequence[Field], *, is_open: bool) -> None:
        changed = sum(field.changed for field in self.fields)
        counted = f" · {changed} changed" if changed else ""
        self.button.description = f"{'▾' if is_open else '▸'} {self.title}{counted}"
        self.widget.layout.display = ""
        self._rows.layout.display = "" if is_open else "none"
        for field in self.fields:
            field.row.layout.display = "" if field in fields else "none"
