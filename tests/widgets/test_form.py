"""The parameter form: widgets made of the parameters cell and its schema, and the headless runs that it starts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.common import PROJECT, TIMEOUT_S, all_runs, wait_until
from tests.support.jupyterlab import Lab

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
    """Return the form of a small notebook, set to the test's store; what it has started ends with the test."""
    form = show_form(write_notebook("import time\nif x == 9: time.sleep(100)", parameters=PARAMETERS))
    form.fields["tracking_uri"].control.value = store
    yield form
    for job in form.jobs:
        job.stop()
        job.wait(TIMEOUT_S)


def test_makes_widgets_of_the_notebook_and_its_schema() -> None:
    fields = show_form(TRAIN).fields
    kinds = {name: type(field.control).__name__ for name, field in fields.items()}
    assert {name: kinds[name] for name in ("eta", "stratify", "task", "max_depth", "reg_lambda", "features", "dataset")} == {
        "eta": "FloatSlider",
        "stratify": "Checkbox",
        "task": "Dropdown",
        "max_depth": "IntText",
        "reg_lambda": "FloatText",
        "features": "Text",
        "dataset": "Text",
    }
    assert (fields["eta"].control.min, fields["eta"].control.max) == (0, 1)
    assert (fields["subsample"].control.min, fields["test_size"].control.max) == (0.01, 0.99)
    assert fields["eta"].control.readout_format == ".6"  # two decimals would show 0.005 as 0.01
    assert fields["tree_method"].control.options == ("auto", "hist", "approx", "exact")
    assert "0 &lt;= eta &lt;= 1" in fields["eta"].row.children[-1].value
    assert all(field.value == field.parameter.default for field in fields.values())


def test_reads_as_a_table_without_widgets() -> None:
    text = show_form(TRAIN)._repr_mimebundle_()["text/plain"]
    assert text.startswith("train.ipynb takes:\n")
    assert "  eta = '0.1'        learning rate: how much of each new tree is added (0 <= eta <= 1)" in text.splitlines()


def test_help_is_never_markup_and_a_secret_is_hidden(tiny: Form) -> None:
    assert "a &lt;b&gt;number&lt;/b&gt;" in tiny.fields["x"].row.children[-1].value
    assert type(tiny.fields["password"].control).__name__ == "Password"


def test_refuses_what_the_schema_refuses_and_takes_it_back(tiny: Form) -> None:
    names = tiny.fields["names"].control
    for wrong, words in (("[a, 1]", "takes text, not 1"), ("[a", "cannot be read"), ("a", "takes a list")):
        names.value = wrong
        assert tiny.start_button.disabled and words in tiny.message.value
        tiny.start()
        assert tiny.jobs == []
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
    first, second = tiny.jobs
    rows = tiny._jobs_box.children
    assert first.wait(TIMEOUT_S) == "finished", first.message
    wait_until(lambda: "✓" in rows[0].children[2].value and "/runs/" in rows[0].children[2].value)
    wait_until(lambda: second.state == "running")
    rows[1].children[1].click()
    assert second.wait(TIMEOUT_S) == "stopped"
    wait_until(lambda: "■" in rows[1].children[2].value)

    runs = {run.data.params["x"]: run for run in all_runs(look())}
    assert {x: run.info.status for x, run in runs.items()} == {"1": "FINISHED", "9": "KILLED"}
    assert runs["1"].data.params["names"] == '["a", "b"]' and runs["1"].data.params["password"] == "***"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Nobody knows which notebook"),
        ("trian.ipynb", "There is no notebook 'trian.ipynb'"),
        ("other.ipynb", "no notebook of"),
    ],
)
def test_refuses_what_is_no_lab_notebook(
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
    monkeypatch.chdir(tmp_path)
    assert show_form("train.ipynb").fields


@pytest.mark.slow
def test_starts_two_runs_from_jupyterlab(lab: Lab, look: Look) -> None:
    shutil.copy(TRAIN, lab.folder)
    page = lab.open("train.ipynb")
    page.replace_text(1, "num_boost_round: int = 500", "num_boost_round: int = 20")  # not saved: the form must show it
    page.run_code("from boostlab.widgets.form import show_form\nshow_form()")
    seen = page.page
    name = seen.locator(".widget-html-content", has_text=re.compile(r"^max_depth( \*)?$"))
    row = seen.locator(".widget-hbox", has=name).last
    row.locator("input").fill("-1")
    row.locator("input").press("Tab")
    seen.wait_for_selector("text=max_depth = -1 is out of range")
    assert seen.locator("button", has_text="Start a headless run").is_disabled()
    page.replace_text(1, "eta: float = 0.1", "eta: float = 0.7")  # since: the form shows 0.1, and that is what runs
    for depth in (2, 3):
        row.locator("input").fill(str(depth))
        row.locator("input").press("Tab")
        seen.wait_for_selector("text=differs from the defaults: max_depth")
        seen.locator("button", has_text="Start a headless run").click()
        seen.locator(".widget-hprogress").nth(depth - 2).wait_for()
    seen.wait_for_function("() => document.body.innerText.split(' finished').length === 3")

    runs = all_runs(look())
    assert sorted((run.info.status, run.data.params["max_depth"]) for run in runs) == [("FINISHED", "2"), ("FINISHED", "3")]
    assert {(run.data.params["num_boost_round"], run.data.params["eta"]) for run in runs} == {("20", "0.1")}
    links = seen.eval_on_selector_all(".jp-OutputArea a", "found => found.map(one => one.href)")
    assert sorted(link.rpartition("/")[2] for link in links) == sorted(run.info.run_id for run in runs)
