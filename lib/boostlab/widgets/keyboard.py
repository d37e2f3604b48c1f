"""Keys for widgets: JupyterLab's shortcuts do not act while a control of a box has the focus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets


class KeyboardGuard(anywidget.AnyWidget):
    """An invisible part of a box, which keeps keys that are pressed in the box from JupyterLab."""

    _esm = Path(__file__).with_name("keyboard.js")

    def __init__(self, **options: Any) -> None:
        super().__init__(layout=ipywidgets.Layout(display="none"), **options)
