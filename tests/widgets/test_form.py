"""The parameter form: what it accepts, the headless runs that it starts, and its text form."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.accessibility import check_everywhere
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
        assert tiny.start_button.disabled and words in tiny.message.value and words in tiny.fields["names"].row.children[-1].value
        tiny.start()
        assert tiny.rows == []
    names.value = "[a, b]"
    assert not tiny.start_button.disabled and "names" in tiny.message.value
    assert tiny.fields["maybe"].value is None and "cannot be read" not in tiny.fields["names"].row.children[-1].value


def shown(form: Form) -> dict[str, list[str]]:
    """Return the names that each section on the screen shows."""
    return {
        section.button.description: [
            field.parameter.name
            for field in section.fields
            if field.row.layout.display != "none" and section._rows.layout.display != "none"
        ]
        for section in form.sections
        if section.is_shown
    }


def test_shows_the_common_group_first_and_others_on_demand() -> None:
    form = show_form(TRAIN)
    assert list(shown(form))[1:] == [
        "▸ Data",
        "▸ Split",
        "▸ Cross-validation",
        "▸ Objective",
        "▸ Decision",
        "▸ Tree",
        "▸ Sampling",
        "▸ Run",
    ]
    assert shown(form)["▾ Common"][:4] == ["dataset", "target", "eta", "max_depth"] and shown(form)["▸ Tree"] == []
    (tree,) = [section for section in form.sections if "Tree" in section.button.description]
    tree.button.click()
    assert "gamma" in shown(form)["▾ Tree"]
    form.search.value = "penalty l1"
    assert shown(form) == {"▾ Tree": ["reg_alpha"]}
    form.search.value = "no such word"
    assert shown(form) == {} and form.no_match.layout.display == ""
    form.search.value = ""
    form.fields["seed"].control.value = "7"
    form.only_changed.value = True
    assert shown(form) == {"▾ Sampling · 1 changed": ["seed"]}
    form.reset_button.click()
    assert shown(form) == {} and form.fields["seed"].value == 0
    form.only_changed.value = False
    assert shown(form)["▾ Common"] and form.no_match.layout.display == "none"


def test_a_value_out_of_range_stays_as_typed_with_its_error() -> None:
    form = show_form(TRAIN)
    form.fields["eta"].control.value = "1.5"
    assert form.fields["eta"].control.value == "1.5" and form.start_button.disabled
    for text in (form.message.value, form.fields["eta"].row.children[-1].value):
        assert "eta = 1.5 is out of range. Allowed: 0 &lt;= eta &lt;= 1." in text
    assert "out of range" not in form.fields["max_depth"].row.children[-1].value


def test_presets_fill_the_form_and_are_saved_under_new_names(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    folder = tmp_path / "parameters" / "train"
    folder.mkdir(parents=True)
    (folder / "shallow.yaml").write_text("eta: 0.3\nmax_depth: 2")
    (folder / "wrong.yaml").write_text("eta: 3")
    shutil.copy(TRAIN, tmp_path)
    form = show_form(tmp_path / "train.ipynb")
    form.fields["seed"].control.value = "7"
    form.preset.value = "shallow"
    assert "differs from the defaults: eta, max_depth" in form.message.value  # and no longer the seed
    form.preset.value = "wrong"
    assert "eta = 3 is out of range" in form.message.value and form.fields["eta"].value == 0.3
    form.preset_name.value = "shallow"
    form.save_button.click()
    assert "exists, and no preset is overwritten" in form.message.value
    form.preset_name.value = "mine"
    form.save_button.click()
    assert "mine" in dict(form.preset.options) and (folder / "mine.yaml").read_text().endswith("\neta: 0.3\nmax_depth: 2\n")
    form.reset_button.click()
    form.preset.value = "mine"
    assert form.fields["max_depth"].value == 2


def test_says_which_cells_a_headless_run_executes(write_notebook: Callable[..., Path]) -> None:
    path = write_notebook("1", "2")
    assert "executes all cells of the saved file, and would skip" in show_form(path).widget.children[0].value
    document = nbformat.read(path, as_version=4)
    document.cells[1].metadata.tags = ["scratch"]
    nbformat.write(document, path)
    assert "skips 1 tagged" in show_form(path).widget.children[0].value


@pytest.mark.slow
def test_starts_headless_runs_and_stops_one(tiny: Form, look: Look) -> None:
    tiny.fields["names"].control.value = "[a, b]"
    tiny.fields["password"].control.value = "hunter22"
    tiny.start()
    tiny.fields["x"].control.value = "9"
    tiny.start()
    (row, other_row) = tiny.rows
    first, second = row.job, other_row.job
    assert first.wait(TIMEOUT_S) == "finished", first.message
    wait_until(lambda: "✓" in row.title.value and "/runs/" in row.title.value)
    assert "password = ***" in row.text.value and "hunter22" not in row.text.value
    row.log_button.click()
    assert "FINISHED" in row.log.value and "hunter22" not in row.log.value
    wait_until(lambda: second.state == "running")
    other_row.stop_button.click()
    assert second.wait(TIMEOUT_S) == "stopped"
    wait_until(lambda: "■" in other_row.title.value)

    runs = {run.data.params["x"]: run for run in all_runs(look())}
    assert {x: run.info.status for x, run in runs.items()} == {"1": "FINISHED", "9": "KILLED"}
    assert runs["1"].data.params["names"] == '["a", "b"]' and runs["1"].data.params["password"] == "***"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "The path of this notebook is unknown"),
        ("trian.ipynb", "There is no notebook at /.*/trian.ipynb or at /.*/notebooks/trian.ipynb"),
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
    depth_box, start = browser_page.get_by_label("max_depth"), browser_page.get_by_role("button", name="Start a headless run")
    depth_box.fill("-1")
    depth_box.press("Tab")
    browser_page.wait_for_selector("text=max_depth = -1 is out of range")
    wait_until(start.is_disabled)
    assert depth_box.input_value() == "-1"
    slider, eta = browser_page.get_by_role("slider", name="eta slider"), browser_page.get_by_role("textbox", name="eta")
    slider.press("ArrowRight")  # by keyboard: one stop further
    wait_until(lambda: eta.input_value() == "0.15", 60)
    slider.press("ArrowLeft")
    wait_until(lambda: eta.input_value() == "0.1", 60)
    browser_page.get_by_role("button", name="▸ Tree").press("Enter")
    method = browser_page.get_by_label("tree_method")
    method.wait_for()
    page.wait_idle()  # the kernel has answered: its answer must not undo the next key
    method.press("ArrowDown")  # JupyterLab would take this key, and D twice
    wait_until(lambda: method.input_value() == "approx", 60)
    method.press("ArrowUp")
    browser_page.get_by_role("button", name="Reset", exact=True).focus()
    for _ in range(2):
        browser_page.keyboard.press("d")
    browser_page.get_by_role("textbox", name="reg_alpha").wait_for()
    width = start.bounding_box()["width"]
    check_everywhere(page, ".boostlab-form")
    page.replace_text(1, "eta: float = 0.1", "eta: float = 0.7")  # after the form was made: the form shows 0.1, and runs 0.1
    for depth in (2, 3):
        depth_box.fill(str(depth))
        depth_box.press("Tab")
        browser_page.wait_for_selector("text=differs from the defaults: max_depth")
        start.click()
        bar = browser_page.get_by_role("progressbar").nth(depth - 2)
        bar.wait_for()
        assert bar.get_attribute("value") is None  # moves although no cell has begun
    assert start.bounding_box()["width"] == width
    browser_page.wait_for_selector("text=/^(Train|Run|Data|Split|Columns|Training|Features|Test|Model), |^(Run|Data|Test) ·/")
    browser_page.wait_for_function("() => document.body.innerText.split(' finished').length === 3")
    browser_page.wait_for_selector("text=/valid rmse .*, the best of 2/")
    browser_page.wait_for_selector("text=/valid rmse .* against the best of 2/")
    browser_page.get_by_role("button", name="Show log").first.click()
    browser_page.wait_for_selector("text=/Run train-.*: FINISHED/")
    check_everywhere(page, ".boostlab-form")

    runs = all_runs(look())
    assert sorted((run.info.status, run.data.params["max_depth"]) for run in runs) == [("FINISHED", "2"), ("FINISHED", "3")]
    assert {(run.data.params["num_boost_round"], run.data.params["eta"]) for run in runs} == {("20", "0.1")}
    links = browser_page.eval_on_selector_all(".jp-OutputArea a", "found => found.map(one => one.href)")
    assert sorted(link.rpartition("/")[2] for link in links) == sorted(run.info.run_id for run in runs)
