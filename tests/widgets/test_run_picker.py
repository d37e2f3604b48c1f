from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.common import PROJECT, all_runs
from tests.support.jupyterlab import Lab

from boostlab.comparison.selection import Selection, find_named
from boostlab.tracking.store import find_store, open_store
from boostlab.widgets.run_picker import Picker

TRAIN = PROJECT / "notebooks" / "train.ipynb"
COMPARE = PROJECT / "notebooks" / "compare.ipynb"


@pytest.fixture(autouse=True)
def _nothing_chosen() -> Iterator[None]:
    Picker.last = None
    yield
    Picker.last = None


@pytest.fixture
def selection(store: str, tmp_path: Any) -> Selection:
    """Return four runs, a to d."""
    client = open_store(find_store(store, project=tmp_path)).client
    for name in "abcd":
        run = client.create_run("0", run_name=f"{name} <b>")
        client.log_metric(run.info.run_id, "test_rmse", ord(name))
    return Selection(tuple(find_named(client, [f"{name} <b>" for name in "abcd"])), "test_rmse")


def chosen(picker: Picker) -> tuple[str, str]:
    """Return the first letters of the runs that a picker chose."""
    closely, pair = ("".join(run.info.run_name[0] for run in runs) for runs in (picker.closely, picker.pair))
    return closely, pair


def test_begins_with_what_the_parameters_say(selection: Selection) -> None:
    picker = Picker(selection, pair=selection.runs[1::-1], top=3)

    assert chosen(picker) == ("abc", "ba")
    assert (
        picker.describe() == "looked at closely: a <b>, b <b>, c <b>\nset against one another: champion b <b>, challenger a <b>"
    )


def test_what_is_chosen_in_the_widget_counts_and_outlives_it(selection: Selection) -> None:
    first = Picker(selection, pair=selection.runs[1::-1], top=3)
    closely, champion, _challenger = first.make_widget().children[:3]
    closely.value = closely.value[:1]
    champion.value = selection.runs[3].info.run_id

    assert chosen(first) == ("a", "da")
    assert chosen(Picker(selection, pair=selection.runs[1::-1], top=3)) == ("a", "da")


def test_other_parameters_undo_the_choice(selection: Selection) -> None:
    first = Picker(selection, pair=selection.runs[1::-1], top=3)
    first.make_widget().children[1].value = selection.runs[3].info.run_id

    assert chosen(Picker(selection, pair=selection.runs[1::-1], top=2)) == ("ab", "ba")
    assert chosen(Picker(Selection(selection.runs[:3]), pair=selection.runs[1::-1], top=2)) == ("ab", "ba")


def test_without_two_runs_there_is_nothing_to_choose() -> None:
    picker = Picker(Selection(), pair=(), top=3)

    assert (picker.closely, picker.pair, picker.describe()) == ([], [], "looked at closely: no run")


@pytest.mark.slow
def test_in_jupyterlab_the_cells_below_follow_the_choice(
    lab: Lab, papermill: Callable[..., Any], store: str, look: Callable[..., Any]
) -> None:
    for eta in (0.1, 0.2, 0.3):
        papermill(TRAIN, "train.ipynb", "-p", "tracking_uri", store, "-p", "num_boost_round", 20, "-p", "eta", eta)
    shutil.copy(COMPARE, lab.folder)
    shown = lab.open("compare.ipynb")
    shown.run_all()
    first = all_runs(look())[0]
    others = {run.info.run_id for run in all_runs(look()) if run.data.tags["boostlab.notebook"] == "train"}
    (third,) = others - {first.data.tags["boostlab.champion"], first.data.tags["boostlab.challenger"]}
    name = look().get_run(third).info.run_name

    champion = shown.page.locator(".widget-dropdown select").first
    champion.scroll_into_view_if_needed()
    (option,) = [text for text in champion.locator("option").all_inner_texts() if text.startswith(name)]
    champion.select_option(label=option)
    shown.run_all()

    second = all_runs(look())[0]
    assert second.info.run_id != first.info.run_id
    assert second.data.tags["boostlab.champion"] == third
    assert second.data.tags["boostlab.challenger"] == first.data.tags["boostlab.challenger"]
    assert (first.info.status, second.info.status) == ("FINISHED", "FINISHED")
