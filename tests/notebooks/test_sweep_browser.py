"""``sweep.ipynb`` in a real JupyterLab: live progress, the two buttons that stop it, and the form."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.executions import Write
from tests.support.stores import all_runs
from tests.support.sweep_notebooks import SWEEP, write_trial
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweep")]

Look = Callable[..., Any]
INTERRUPT = "[data-command='notebook:interrupt-kernel'] button, jp-button[data-command='notebook:interrupt-kernel']"
SLOW = "import time\ntime.sleep(0.5)"


def show_texts(page: Any) -> str:
    """Return all that the notebook's cells show, as JSON."""
    return json.dumps(page.outputs(), ensure_ascii=False)


@pytest.fixture
def notebook(lab: Any, write_notebook: Write, tmp_path: Path) -> Path:
    """Return a copy of the notebook in JupyterLab's folder, set to a sweep of more trials than anybody waits for."""
    settings: dict[str, Any] = write_trial(write_notebook, tmp_path, before=SLOW) | {"n_trials": 1000}
    (lab.folder / "pyproject.toml").write_text("")
    path = Path(lab.folder) / SWEEP.name
    shutil.copy(SWEEP, path)
    content = json.loads(path.read_text())
    source = "".join(content["cells"][1]["source"])
    for name, value in settings.items():
        found = re.search(rf"(?m)^{name}: [^=]+= (.*?)  #", source)
        assert found, name
        source = f"{source[: found.start(1)]}{value!r}{source[found.end(1) :]}"
    content["cells"][1]["source"] = source
    path.write_text(json.dumps(content))
    return path


def test_shows_progress_while_it_runs_and_the_interrupt_button_ends_the_trials(lab: Any, notebook: Path, look: Look) -> None:
    page = lab.open(notebook.name)
    page.run_all(wait=False)
    page.page.get_by_text(re.compile(r"\b[3-9] of 1,000 trials · .*best score")).first.wait_for()
    page.page.get_by_role("button", name=re.compile("Interrupt")).first.click()
    wait_until(lambda: "Interrupted" in show_texts(page))
    wait_until(lambda: any("final_training" in json.dumps(cell) for cell in page.outputs()[-1:]))
    page.wait_idle()

    runs = all_runs(look())
    (sweep,) = [run for run in runs if "boostlab.sweep" in run.data.tags]
    wait_until(lambda: look().get_run(sweep.info.run_id).info.status == "FINISHED")
    trials = [look().get_run(run.info.run_id) for run in runs if "boostlab.trial" in run.data.tags]
    ended = [run.info.status for run in trials]
    assert set(ended) <= {"FINISHED", "KILLED"} and ended.count("FINISHED") >= 3
    page.replace_text(1, "= 1000", f"= {ended.count('FINISHED') + 1}")
    page.run_all()
    assert f"{ended.count('FINISHED')} of {ended.count('FINISHED') + 1} have ended in earlier sweeps" in show_texts(page)
    assert "trials of the study have ended" in show_texts(page)


def test_the_button_in_the_status_bar_ends_the_trials_and_the_notebook_goes_on(lab: Any, notebook: Path, look: Look) -> None:
    page = lab.open(notebook.name)
    page.run_all(wait=False)
    stop = page.page.locator("#jp-main-statusbar").get_by_role("button", name="Stop the sweep")
    page.page.locator("#jp-main-statusbar").get_by_text(re.compile(r"\b[2-9] of 1,000 trials · .*best score")).wait_for()
    stop.click()
    wait_until(lambda: "Interrupted" in show_texts(page))
    page.wait_idle()
    stop.wait_for(state="hidden")

    runs = all_runs(look())
    (sweep,) = [run for run in runs if "boostlab.sweep" in run.data.tags]
    wait_until(lambda: look().get_run(sweep.info.run_id).info.status == "FINISHED")
    trials = [look().get_run(run.info.run_id) for run in runs if "boostlab.trial" in run.data.tags]
    assert {run.info.status for run in trials} <= {"FINISHED", "KILLED"}


@pytest.mark.parametrize("width", [1280, 760])
def test_the_form_shows_each_parameter_and_fits(lab: Any, notebook: Path, width: int) -> None:
    page = lab.open(notebook.name, width=width)
    page.run_code("from boostlab import show_form\nshow_form()")
    form = page.page.locator(".boostlab-form")
    form.wait_for()
    for name in ("Limits", "Workers", "After it"):
        form.get_by_role("button", name=name).click()
    assert form.get_by_label("fixed", exact=True).input_value() == "{}"
    assert form.get_by_label("metric", exact=True).input_value() == '["score"]'
    assert form.get_by_label("pruner", exact=True).input_value() == "none"
    assert form.get_by_label("n_trials", exact=True).input_value() == "1000"
    form.get_by_label("metric", exact=True).fill("[test_rmse]")
    form.get_by_label("metric", exact=True).press("Tab")
    form.get_by_text("Name a metric of the validation rows").first.wait_for()
    wait_until(form.get_by_role("button", name="Start a headless run").is_disabled)
    assert form.evaluate("node => node.scrollWidth <= node.clientWidth")
