"""Interactive runs in JupyterLab: what they hold, and how they end."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import nbformat
import psutil
import pytest
from tests.support.jupyterlab import Lab, Page
from tests.support.paths import PROJECT
from tests.support.stores import all_runs, artifacts, read_artifact
from tests.support.waiting import wait_until

from boostlab.tracking.journal import journals_folder

pytestmark = pytest.mark.slow

Look = Callable[..., Any]
START = """\
from boostlab.notebook.settings import Settings
from boostlab.tracking.start import start_run
class Tiny(Settings):
    x: int
    experiment: str
    run_name: str
    tracking_uri: str
run = start_run(Tiny.check(globals()))"""
STATUS = "#jp-main-statusbar .boostlab-status"
WATCH_STATUS = """status => { window.seen = [];
new MutationObserver(() => { const line = document.querySelector(status);
if (line && line.textContent !== window.seen.at(-1)) window.seen.push(line.textContent); })
.observe(document.querySelector("#jp-main-statusbar"), {subtree: true, childList: true, characterData: true}); }"""
BROKEN, FIXED = "run.log_tags({'value': str(unknown)})", "run.log_tags({'value': str(x)})"
END = "run.finish()\nprint('the last word')"


@pytest.fixture
def open_notebook(lab: Lab, write_notebook: Callable[..., Any]) -> Callable[..., Page]:
    """Return a function that opens a notebook of the given cells in JupyterLab."""

    def begin(*cells: str, path: str = "tiny.ipynb") -> Page:
        target = lab.folder / path
        target.parent.mkdir(exist_ok=True)
        shutil.move(write_notebook(START, *cells), target)
        return lab.open(path)

    return begin


@pytest.fixture
def train(lab: Lab) -> Callable[..., Page]:
    """Return a function that opens a copy of the training notebook."""

    def begin(**options: Any) -> Page:
        shutil.copy(PROJECT / "notebooks" / "train.ipynb", lab.folder)
        return lab.open("train.ipynb", **options)

    return begin


def ended(look: Look, count: int = 1) -> list[Any]:
    """Wait until `count` runs exist and none is RUNNING, and return them, oldest first."""
    runs = wait_until(lambda: len(all_runs(look())) == count and all_runs(look()))
    wait_until(lambda: "RUNNING" not in {run.info.status for run in all_runs(look())})
    wait_until(lambda: not list(journals_folder().glob("*")))
    return sorted((look().get_run(run.info.run_id) for run in runs), key=lambda run: run.info.start_time)


def kept(look: Look, run: Any, name: str = "tiny") -> Any:
    """Return the notebook of a run, and check that the run has its HTML page."""
    assert artifacts(look(), run.info.run_id, "notebook") == {f"notebook/{name}.ipynb", f"notebook/{name}.html"}
    return nbformat.reads(read_artifact(look(), run.info.run_id, f"notebook/{name}.ipynb"), as_version=4)


def test_a_finished_run_holds_the_notebook_as_on_the_screen(train: Callable[..., Page], look: Look) -> None:
    page = train()
    page.page.evaluate(WATCH_STATUS, STATUS)
    page.run_all()
    (run,) = ended(look)

    seen = page.page.evaluate("() => window.seen")
    assert seen[0] == "Opening the store"
    for step in ("Libraries", "Data", "Training · round ", "Result"):
        assert any(text.startswith(f"{run.info.run_name} · {step}") for text in seen), (step, seen)
    wait_until(lambda: page.page.locator(STATUS).inner_text() == "")
    assert (run.info.status, run.data.tags["boostlab.origin"]) == ("FINISHED", "jupyter")
    assert run.data.tags["boostlab.notebook_state"] == "as on the screen"
    code = [cell for cell in kept(look, run, "train").cells if cell.cell_type == "code"]
    shown = page.outputs()
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [[output.output_type for output in cell.outputs] for cell in code] == [[o["output_type"] for o in c] for c in shown]
    assert code[-1].outputs[0].data["text/markdown"] == "".join(shown[-1][0]["data"]["text/markdown"])
    assert [output.data["text/markdown"] for output in code[1].outputs] == [f"Run `{run.info.run_name}` in experiment `train`"]
    (progress, *_) = code[6].outputs
    assert progress.data["text/plain"].startswith("round ") and progress.data["text/plain"] in progress.data["text/html"]
    assert "plots/learning_curves.png" in artifacts(look(), run.info.run_id)


def test_a_run_is_shown_once_in_the_cell_that_begins_it(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook("run", END)
    page.run_all()
    (run,) = ended(look)
    (begun,), (again,) = page.outputs()[1:3]
    assert (begun["output_type"], again["output_type"]) == ("display_data", "execute_result")
    assert begun["data"]["text/markdown"] == again["data"]["text/markdown"] and run.info.run_name in str(begun["data"])


def test_a_cell_that_begins_no_run_says_so(open_notebook: Callable[..., Page]) -> None:
    page = open_notebook()
    page.edit_cell(1, START.replace("globals()", "globals() | {'tracking_uri': 'nonsense://'}"))
    page.run_cells(0, 1)
    first, error = page.outputs()[1]
    assert "".join(first["data"]["text/plain"]) == "No run has begun." and error["output_type"] == "error"


def test_a_cell_that_fails_is_mended_and_the_run_goes_on(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook(BROKEN, END)
    page.run_all()
    (run,) = all_runs(look())
    assert run.info.status == "RUNNING"
    page.edit_cell(2, FIXED)
    page.run_cells(2, 3)
    (run,) = ended(look)

    assert run.info.status == "FINISHED"
    assert (run.data.tags["boostlab.failed_cells"], run.data.tags["value"]) == ("1", "1")
    assert [cell.source for cell in kept(look, run).cells][2:] == [FIXED, END]


@pytest.mark.parametrize(("cell", "status"), [(BROKEN, "FAILED"), (FIXED, "KILLED")])
def test_running_again_from_the_top_ends_the_run_left_open(
    open_notebook: Callable[..., Page], look: Look, cell: str, status: str
) -> None:
    page = open_notebook(cell, END)
    page.run_cells(0, 1)
    page.run_cells(2)
    page.edit_cell(2, FIXED)
    page.run_all()
    left, finished = ended(look, 2)

    assert (left.info.status, finished.info.status) == (status, "FINISHED")
    assert "run again from the top" in left.data.tags["boostlab.reason"]
    assert "boostlab.failed_cells" not in finished.data.tags


def test_a_cell_that_failed_and_was_not_mended_fails_the_run(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook(BROKEN, END)
    page.run_all()
    page.run_cells(3)
    (run,) = ended(look)

    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("FAILED", "1 cell(s) failed and were not run again.")


def test_a_failed_cell_with_finish_does_not_end_the_run(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook("run.finish()\nunknown")
    page.run_all()
    assert all_runs(look())[0].info.status == "RUNNING"
    page.edit_cell(2, "run.finish()")
    page.run_cells(2)

    assert ended(look)[0].info.status == "FINISHED"


def test_refuses_records_after_the_end_in_one_line(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook(END, FIXED)
    page.run_all()

    assert ended(look)[0].info.status == "FINISHED"
    (error,) = page.outputs()[-1]
    assert (error["ename"], len(error["traceback"])) == ("LabError", 1)


@pytest.mark.parametrize("how", ["restarted", "shut down", "killed", "server stopped", "server killed"])
def test_a_run_whose_kernel_ends_is_killed(open_notebook: Callable[..., Page], lab: Lab, look: Look, how: str) -> None:
    page = open_notebook(FIXED, "import time; time.sleep(1000)")
    page.page.keyboard.press("Control+s")
    page.run_all(wait=False)
    wait_until(lambda: all_runs(look()) and "value" in all_runs(look())[0].data.tags)
    if how == "restarted":
        page.command("kernelmenu:restart", wait=False)
        page.page.wait_for_selector(STATUS)
        page.page.click(".jp-Dialog .jp-mod-accept")
        page.wait_idle()
        wait_until(lambda: not page.page.locator(STATUS).count())
    elif how == "shut down":
        page.command("kernelmenu:shutdown", wait=False)
    elif how == "killed":
        os.kill(lab.kernel_pid(), signal.SIGKILL)
    elif how == "server stopped":
        lab.stop()
    else:
        kernel = lab.kernel_pid()
        lab.stop(signal.SIGKILL)
        psutil.wait_procs([psutil.Process(kernel)] if psutil.pid_exists(kernel) else [], timeout=30)
    (run,) = ended(look)

    assert run.info.status == "KILLED"
    assert "the kernel ended before the notebook did" in run.data.tags["boostlab.reason"]
    assert kept(look, run).cells


def test_asks_the_browser_where_the_server_has_a_password(open_notebook: Callable[..., Page], lab: Lab, look: Look) -> None:
    lab.stop()
    lab.start(password="open sesame")
    page = open_notebook(END)
    page.run_all()
    (run,) = ended(look)

    assert run.data.tags["boostlab.notebook_state"] == "as on the screen"
    assert "the last word" in kept(look, run).cells[-1].outputs[0].text


def test_says_so_when_the_screen_has_lost_outputs(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook("import time; time.sleep(2)", END)
    page.run_all(wait=False)
    wait_until(lambda: all_runs(look()))
    page.run_all()
    first, second = ended(look, 2)

    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
    assert "without the outputs of 2 cell(s)" in first.data.tags["boostlab.notebook_state"]
    assert second.data.tags["boostlab.notebook_state"] == "as on the screen"


def test_goes_on_when_the_browser_is_gone(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook("import time; time.sleep(3)", END)
    page.run_all(wait=False)
    wait_until(lambda: all_runs(look()))
    page.page.close()
    (run,) = ended(look)

    assert run.info.status == "FINISHED"
    assert run.data.tags["boostlab.notebook_state"] == "as last saved: no JupyterLab answered"
    assert [cell.source for cell in kept(look, run).cells][-1] == END


def test_finds_a_notebook_that_was_renamed_in_another_folder(open_notebook: Callable[..., Page], lab: Lab, look: Look) -> None:
    page = open_notebook(END, path="deep/tiny.ipynb")
    page.run_cells(0, 1)
    page.page.evaluate("window.jupyterapp.serviceManager.contents.rename('deep/tiny.ipynb', 'deep/other.ipynb')")
    wait_until(lambda: lab.sessions()[0]["path"] == "deep/other.ipynb")
    page.run_cells(2)
    (run,) = ended(look)

    assert run.data.tags["boostlab.notebook_state"] == "as on the screen"
    assert "the last word" in kept(look, run).cells[-1].outputs[0].text


def test_saves_its_own_notebook_while_another_tab_is_in_front(open_notebook: Callable[..., Page], lab: Lab, look: Look) -> None:
    page = open_notebook("import time; time.sleep(3)", END)
    (lab.folder / "notes.txt").write_text("notes")
    page.run_all(wait=False)
    page.command("docmanager:open", path="notes.txt")
    (run,) = ended(look)

    assert run.data.tags["boostlab.notebook_state"] == "as on the screen"
    assert "the last word" in kept(look, run).cells[-1].outputs[0].text


def test_an_interrupt_keeps_the_rounds_so_far(train: Callable[..., Page], look: Look) -> None:
    page = train()
    page.replace_text(1, "num_boost_round: int = 500", "num_boost_round: int = 1000000")
    page.replace_text(1, "early_stopping_rounds: int = 30", "early_stopping_rounds: int = 0")
    page.run_all(wait=False)
    page.page.wait_for_selector("svg polyline")
    page.command("notebook:interrupt-kernel")
    (run,) = ended(look)

    assert run.info.status == "FINISHED"
    assert run.data.tags["boostlab.training"].startswith("Stopped by hand after round ")
    assert 0 < run.data.metrics["best_iteration"] < 999_999
    assert run.outputs.model_outputs
    assert "Stopped by hand" in str(page.outputs()[6])


def test_secrets_stay_out_of_what_the_screen_shows(open_notebook: Callable[..., Page], look: Look) -> None:
    page = open_notebook("password = 'hunter22'", END)
    page.edit_cell(1, START.replace("x: int", "password: str").replace("globals()", "{**globals(), 'password': 'hunter22'}"))
    page.run_all()
    (run,) = ended(look)

    assert run.info.status == "FINISHED"
    for name in artifacts(look(), run.info.run_id):
        assert "hunter22" not in read_artifact(look(), run.info.run_id, name)


def test_a_store_that_is_lost_costs_nothing(open_notebook: Callable[..., Page], store: str) -> None:
    path = store.removeprefix("sqlite:///")
    page = open_notebook(f"import os; os.rename({path!r}, {path + '.away'!r})", FIXED, END)
    page.run_all()

    said = "".join(str(output.get("text")) for output in page.outputs()[-1])
    assert "boostlab deliver" in said and "Its whole record is kept" in said
    (journal,) = journals_folder().iterdir()
    assert (journal / "run.json").exists()
