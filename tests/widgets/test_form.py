"""The parameter form: what it accepts, the headless runs that it starts, and its text form."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.jupyterlab import Lab
from tests.support.paths import PROJECT
from tests.support.stores import all_runs
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.errors import LabError
from boostlab.widgets.form import Form, show_form

TRAIN = PROJECT / "notebooks" / "train.ipynb"
Look = Callable[..., Any]
PARAMETERS = """\
x: int = 1  # a <b>number</b>
names: list[str] = []  # words
password: str = ""  # a secret
maybe: int | None = None  # perhaps
experiment: str = "tiny"  # experiment
run_name: str = ""  # name
tracking_uri: str = ""  # store
"""


@pytest.fixture
def tiny(write_notebook: Callable[..., Path], store: str) -> Iterator[Form]:
    """Return the form of a small notebook, set to the test's store. The runs that it starts end with the test."""
    form = show_form(write_notebook("import time\nif x == 9: time.sleep(100)", parameters=PARAMETERS))
    form.fields["tracking_uri"].control.value = store
    yield form
    for row in form.rows:
        row.job.stop()
        row.job.wait(TIMEOUT_S)


def test_reads_as_a_table_without_widgets() -> None:
    text = show_form(TRAIN)._repr_mimebundle_()["text/plain"]
    assert text.startswith("train.ipynb takes:\n")
    assert "  eta = '0.1'        learning rate: how much of each new tree is added (0 <= eta <= 1)" in text.splitlines()


def test_refuses_values_that_the_settings_refuse_until_they_are_corrected(tiny: Form) -> None:
    names = tiny.fields["names"].control
    for wrong, words in (("[a, 1]", "takes text, not 1"), ("[a", "cannot be read"), ("a", "takes a list")):
        names.value = wrong
        assert tiny.start_button.disabled and words in tiny.message.value
        tiny.start()
        assert tiny.rows == []
    names.value = "[a, b]"
    assert not tiny.start_button.disabled and "names" in tiny.message.value
    assert tiny.fields["maybe"].value is None


@pytest.mark.slow
def test_starts_headless_runs_and_stops_one(tiny: Form, look: Look) -> None:
    tiny.fields["names"].control.value = "[a, b]"
    tiny.fields["password"].control.value = "hunter22"
    tiny.start()
    tiny.fields["x"].control.value = 9
    tiny.start()
    (row, other_row) = tiny.rows
    first, second = row.job, other_row.job
    assert first.wait(TIMEOUT_S) == "finished", first.message
    wait_until(lambda: "✓" in row.text.value and "/runs/" in row.text.value)
    wait_until(lambda: second.state == "running")
    other_row.stop_button.click()
    assert second.wait(TIMEOUT_S) == "stopped"
    wait_until(lambda: "■" in other_row.text.value)

    runs = {run.data.params["x"]: run for run in all_runs(look())}
    assert {x: run.info.status for x, run in runs.items()} == {"1": "FINISHED", "9": "KILLED"}
    assert runs["1"].data.params["names"] == '["a", "b"]' and runs["1"].data.params["password"] == "***"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "The path of this notebook is unknown"),
        ("trian.ipynb", "There is no notebook 'trian.ipynb'"),
        ("other.ipynb", "is not a boostlab notebook"),
    ],
)
def test_refuses_a_file_that_is_not_a_lab_notebook(
    write_notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_notebook("1", name="other.ipynb", marked=False)
    with pytest.raises(LabError, match=words):
        show_form(name)


@pytest.mark.slow
def test_is_a_table_in_a_headless_run(write_notebook: Callable[..., Path], store: str, papermill: Any, tmp_path: Path) -> None:
    notebook = write_notebook("from boostlab.widgets.form import show_form\nshow_form()")
    done = papermill(notebook, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    (output,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert set(output.data) == {"text/plain"} and output.data["text/plain"].startswith("tiny.ipynb takes:\n  x = '1'")


def test_finds_the_projects_notebooks_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("notebooks", "runs"):
        (tmp_path / name).mkdir()
    (tmp_path / "pyproject.toml").touch()
    shutil.copy(TRAIN, tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path / "runs")
    assert show_form("train.ipynb").fields


@pytest.mark.slow
def test_starts_two_runs_from_jupyterlab(lab: Lab, look: Look) -> None:
    shutil.copy(TRAIN, lab.folder)
    page = lab.open("train.ipynb")
    page.replace_text(1, "num_boost_round: int = 500", "num_boost_round: int = 20")  # not saved yet: the form must save it
    page.run_code("from boostlab.widgets.form import show_form\nshow_form()")
    browser_page = page.page
    name = browser_page.locator(".widget-html-content", has_text=re.compile(r"^max_depth( \*)?$"))
    row = browser_page.locator(".widget-hbox", has=name).last
    row.locator("input").fill("-1")
    row.locator("input").press("Tab")
    browser_page.wait_for_selector("text=max_depth = -1 is out of range")
    assert browser_page.locator("button", has_text="Start a headless run").is_disabled()
    page.replace_text(1, "eta: float = 0.1", "eta: float = 0.7")  # after the form was made: the form shows 0.1, and runs 0.1
    for depth in (2, 3):
        row.locator("input").fill(str(depth))
        row.locator("input").press("Tab")
        browser_page.wait_for_selector("text=differs from the defaults: max_depth")
        browser_page.locator("button", has_text="Start a headless run").click()
        browser_page.locator(".widget-hprogress").nth(depth - 2).wait_for()
    browser_page.wait_for_function("() => document.body.innerText.split(' finished').length === 3")

    runs = all_runs(look())
    assert sorted((run.info.status, run.data.params["max_depth"]) for run in runs) == [("FINISHED", "2"), ("FINISHED", "3")]
    assert {(run.data.params["num_boost_round"], run.data.params["eta"]) for run in runs} == {("20", "0.1")}
    links = browser_page.eval_on_selector_all(".jp-OutputArea a", "found => found.map(one => one.href)")
    assert sorted(link.rpartition("/")[2] for link in links) == sorted(run.info.run_id for run in runs)
