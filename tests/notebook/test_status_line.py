"""The line in the status bar where there is no JupyterLab; ``tests/tracking/test_interactive.py`` looks at a real one."""

from __future__ import annotations

import pytest

from boostlab.notebook import status_line


def test_has_no_button_without_a_kernel_that_a_server_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_line, "_has_status_bar", lambda: True)
    line = status_line.StatusLine()
    line.show(run="one")
    with line.interruptible("Stop"):
        line.show(detail="two")
        assert (line._widget.kernel, line._widget.stop) == ("", "")
    assert line.text == "one · two" == line._widget.text
