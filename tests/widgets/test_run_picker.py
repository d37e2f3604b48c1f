from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.accessibility import CUT, check_everywhere, find_violations
from tests.support.jupyterlab import Lab
from tests.support.paths import PROJECT
from tests.support.stores import NewStore, all_runs
from tests.support.waiting import wait_until

from boostlab.comparison.search import find_named
from boostlab.comparison.selection import Selection
from boostlab.display.markdown import escape
from boostlab.errors import LabError
from boostlab.tracking.store import find_store, open_store
from boostlab.widgets.run_picker import RunPicker

TRAIN = PROJECT / "notebooks" / "train.ipynb"
COMPARE = PROJECT / "notebooks" / "compare.ipynb"


@pytest.fixture(autouse=True)
def _no_choice() -> Iterator[None]:
    RunPicker.last = None
    yield
    RunPicker.last = None


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Selection:
    """Return four runs, a to d."""
    folder = tmp_path_factory.mktemp("picker")
    client = open_store(find_store(new_store(folder), project=folder)).client
    for name in "abcd":
        run = client.create_run("0", run_name=f"{name} <b>")
        client.log_metric(run.info.run_id, "test_rmse", ord(name))
    return Selection(tuple(find_named(client, [f"{name} <b>" for name in "abcd"])), "test_rmse")


def chosen(picker: RunPicker) -> tuple[str, str]:
    """Return the first letters of the runs that a picker chose."""
    inspected, pair = ("".join(run.info.run_name[0] for run in runs) for runs in (picker.inspected, picker.pair))
    return inspected, pair


def test_starts_with_the_choice_of_the_parameters(selection: Selection) -> None:
    picker = RunPicker(selection, pair=selection.runs[1::-1], top=3)

    assert chosen(picker) == ("abc", "ba")
    assert picker.describe() == "inspect: a <b>, b <b>, c <b>\ncompare: champion b <b>, challenger a <b>"


def test_a_choice_in_the_widget_outlives_it(selection: Selection) -> None:
    first = RunPicker(selection, pair=selection.runs[1::-1], top=3)
    inspected, champion, _challenger = first.make_widget().children[:3]
    inspected.value = inspected.value[:1]
    champion.value = selection.runs[3].info.run_id

    assert chosen(first) == ("a", "da")
    assert chosen(RunPicker(selection, pair=selection.runs[1::-1], top=3)) == ("a", "da")


def test_other_parameters_reset_the_choice(selection: Selection) -> None:
    first = RunPicker(selection, pair=selection.runs[1::-1], top=3)
    first.make_widget().children[1].value = selection.runs[3].info.run_id

    assert chosen(RunPicker(selection, pair=selection.runs[1::-1], top=2)) == ("ab", "ba")
    assert chosen(RunPicker(Selection(selection.runs[:3]), pair=selection.runs[1::-1], top=2)) == ("ab", "ba")


def test_with_fewer_than_two_runs_there_is_no_choice() -> None:
    picker = RunPicker(Selection(), pair=(), top=3)

    assert (picker.inspected, picker.pair, picker.describe()) == ([], [], "inspect: no run")


def test_what_is_shown_is_drawn_again_for_another_choice(selection: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[Any] = []
    monkeypatch.setattr("IPython.display.DisplayHandle.display", lambda *_: None)
    monkeypatch.setattr("IPython.display.DisplayHandle.update", lambda _, shown: updates.append(shown))
    picker = RunPicker(selection, pair=selection.runs[1::-1], top=3)
    _inspected, champion, *_ = picker.make_widget().children
    picker.show(lambda: chosen(picker))
    champion.value = selection.runs[3].info.run_id
    assert updates == [("abc", "da")]

    def refuse() -> None:
        if chosen(picker)[1] == "ca":
            raise LabError("The run *c* was deleted.")

    picker.show(refuse)
    champion.value = selection.runs[2].info.run_id
    assert updates[1] == ("abc", "ca") and "was deleted" in updates[2].data


@pytest.mark.slow
def test_in_jupyterlab_what_stands_below_follows_the_choice(
    lab: Lab, papermill: Callable[..., Any], store: str, look: Callable[..., Any]
) -> None:
    for eta in (0.1, 0.2, 0.3):
        papermill(TRAIN, "train.ipynb", "-p", "tracking_uri", store, "-p", "num_boost_round", 20, "-p", "eta", eta)
    shutil.copy(COMPARE, lab.folder)
    shown = lab.open("compare.ipynb", width=1000)
    shown.run_all()
    check_everywhere(shown, ".boostlab-picker")
    assert find_violations(shown.page, ".boostlab-table") == []
    assert shown.page.evaluate(CUT, ".boostlab-table") == []
    first = all_runs(look())[0]
    others = {run.info.run_id for run in all_runs(look()) if run.data.tags["boostlab.notebook"] == "train"}
    (third,) = others - {first.data.tags["boostlab.champion"], first.data.tags["boostlab.challenger"]}
    name = look().get_run(third).info.run_name
    before = shown.outputs()

    inspected, champion = (shown.page.get_by_label(name) for name in ("inspect", "champion"))
    inspected.press("ArrowDown")  # by keyboard: JupyterLab would take this key
    shown.page.wait_for_selector("text=The run has ended and keeps those of before")
    changed = [old != new for old, new in zip(before, shown.outputs(), strict=True)]
    assert changed[-5:-3] == [True, True] and not any(changed[:-5])  # curves and importances, and nothing above the picker
    (option,) = [text for text in champion.locator("option").all_inner_texts() if text.startswith(name)]
    champion.select_option(label=option)
    after = wait_until(lambda: escape(name) in shown.outputs()[-1][0]["data"]["text/markdown"] and shown.outputs())
    assert [old != new for old, new in zip(before, after, strict=True)][-5:] == [True] * 5
    assert f"champion [{escape(name)}]" in after[-1][0]["data"]["text/markdown"]
    assert all_runs(look())[0].data.tags == first.data.tags  # what the ended run recorded stays

    shown.run_all()
    second = all_runs(look())[0]
    assert second.info.run_id != first.info.run_id
    assert second.data.tags["boostlab.champion"] == third
    assert second.data.tags["boostlab.challenger"] == first.data.tags["boostlab.challenger"]
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
