"""The kernel *Python (boostlab, forked)* in a real JupyterLab: run, interrupt, restart."""

from __future__ import annotations

import json
import re
from typing import Any

import nbformat
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("template")]

FORKED = "boostlab.execution.template_process"
WHERE = "import os; kept = 7; print('pid', os.getpid())"
SLOW = "import time; print('begun', flush=True); time.sleep(600)"


@pytest.fixture
def page(lab: Any) -> Any:
    """Return a page with a notebook that has the kernel, and no code yet."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WHERE), nbformat.v4.new_code_cell(SLOW)])
    notebook.metadata.kernelspec = {"name": "boostlab", "display_name": "Python (boostlab, forked)", "language": "python"}
    nbformat.write(notebook, lab.folder / "forked.ipynb")
    return lab.open("forked.ipynb")


def read_pid(page: Any) -> int:
    """Return the kernel's process, which the first cell has printed."""
    page.run_cells(0)
    found = re.search(r"pid (\d+)", json.dumps(page.outputs()[0]))
    assert found
    return int(found[1])


def press(page: Any, name: str) -> None:
    page.page.get_by_role("button", name=name).first.click()


def test_a_notebook_runs_is_interrupted_and_restarted(page: Any) -> None:
    first = read_pid(page)
    parent = psutil.Process(first).parent()
    assert parent is not None and FORKED in " ".join(parent.cmdline())
    page.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    page.command("notebook:run-cell", wait=False)
    page.page.get_by_text("begun", exact=True).first.wait_for()
    press(page, "Interrupt")
    page.page.get_by_text("KeyboardInterrupt").first.wait_for()
    page.run_code("print('kept', kept)")
    assert "kept 7" in json.dumps(page.outputs()[-1])
    assert psutil.pid_exists(first)

    page.command("kernelmenu:restart", wait=False)
    page.page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    page.page.locator(".jp-Dialog").wait_for(state="detached")
    page.wait_idle()
    page.run_cells(2)
    assert "NameError" in json.dumps(page.outputs()[-1])
    second = read_pid(page)
    restarted = psutil.Process(second).parent()
    assert second != first and not psutil.pid_exists(first)
    assert restarted is not None and restarted.pid == parent.pid
