"""What the kernel is doing, as a line in JupyterLab's status bar: it is on the screen whatever cell is.

Each part is set where it is known: the run's name, the step, and the detail of a long step. A button beside the line can
interrupt that step. In another front end, and in a headless execution, there is no such line.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boostlab.notebook.session import find_shell, is_headless

SEPARATOR = " · "
SERVER_VARIABLE = "JPY_PARENT_PID"  # in a kernel that a Jupyter server started


class StatusLine:
    """The line of this kernel."""

    def __init__(self) -> None:
        self._parts = {"run": "", "step": "", "detail": ""}
        self._widget: Any = None

    @property
    def text(self) -> str:
        """The line's text."""
        return SEPARATOR.join(part for part in self._parts.values() if part)

    def show(self, **parts: str) -> None:
        """Set the given parts: `run`, `step` or `detail`. A new step has no detail yet, and a new run no step."""
        names = list(self._parts)
        for name in names[names.index(next(iter(parts))) :]:
            self._parts[name] = parts.get(name, "")
        if self._widget is None:
            self._widget = _make_widget(self.text) if _has_status_bar() else False
        if self._widget:
            self._widget.text = self.text

    @contextlib.contextmanager
    def interruptible(self, label: str) -> Iterator[None]:
        """Show a button that interrupts the kernel, in a block that ends well when it is interrupted.

        The button asks JupyterLab's server: a message to the kernel would wait for the end of the cell.
        """
        if self._widget and self._widget.kernel:
            self._widget.stop = label
        try:
            yield
        finally:
            if self._widget:
                self._widget.stop = ""


status_line = StatusLine()


def _has_status_bar() -> bool:
    return not is_headless() and SERVER_VARIABLE in os.environ and find_shell() is not None


def _make_widget(text: str) -> Any:
    import anywidget  # slow to load, and a headless execution does not need it
    import traitlets

    class Line(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("status_line.js")
        text = traitlets.Unicode().tag(sync=True)
        kernel = traitlets.Unicode().tag(sync=True)  # its id
        stop = traitlets.Unicode().tag(sync=True)  # the button's label; empty: no button

    return Line(text=text, kernel=_find_kernel_id())


def _find_kernel_id() -> str:
    """Return the id that a Jupyter server has given to this kernel, as the name of the connection file has it; empty without."""
    from ipykernel.connect import get_connection_file

    try:
        name = Path(get_connection_file()).name
    except (OSError, RuntimeError):  # the file is gone, or it is a kernel of another kind
        return ""
    found = re.fullmatch(r"kernel-([\w-]+)\.json", name)
    return found[1] if found else ""
