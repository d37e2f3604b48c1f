from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.registry import WEAK, add_version

from boostlab.display.tables import Link, Table
from boostlab.registry import tables as catalogue, transition as registry
from boostlab.registry.gate import Finding
from boostlab.registry.history import Transition, tell
from boostlab.registry.plots import find_spells, plot_timeline
from boostlab.registry.request import plan_move
from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store

EVIL = "<img src=x onerror=alert(1)> $x$ | `a`"


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return open_store(find_store(f"sqlite:///{tmp_path}/mlflow.db", project=tmp_path)).client


def test_a_table_shows_every_cell_as_text() -> None:
    table = Table(EVIL, [EVIL, "n"], [[EVIL, 1.23456], [Link(EVIL, "javascript:alert(1)"), None]], marked=[0])
    shown = table._repr_html_()
    assert "<img" not in shown and "javascript:" not in shown and "mathjax_ignore" in shown
    assert 'class="marked"' in shown and "1.235" in shown
    assert EVIL in repr(table)
    assert '<a href="http://h/#/a&quot;b"' in Table("t", ["run"], [[Link("r", 'http://h/#/a"b')]])._repr_html_()


def test_a_table_without_rows_says_so() -> None:
    table = Table("Models", ["model"], [], empty="<none> yet")
    assert repr(table) == "Models: <none> yet"
    assert "&lt;none&gt; yet" in table._repr_html_()


def test_tables_of_the_registry_show_stage_metrics_run_image_and_history(client: Any) -> None:
    for _ in range(2):
        add_version(client, "sugar", why="good", rounds=WEAK)
    client.set_model_version_tag("sugar", "2", "boostlab.image", "sugar:2")
    finding = Finding(rule="beats_champion", outcome="fail", evidence="worse by 3")
    move = plan_move(view_model(client, "sugar"), "promote", version=2, stage="production", override=True, reason="so")
    registry.carry_out(client, move, [finding], who="ana", run_id="abcdefghij")
    view = view_model(client, "sugar")
    assert [list(row) for row in catalogue.tabulate_models(client).rows] == [["sugar", 2, "–", "–", 2]]
    table = catalogue.tabulate_versions(client, view)
    assert list(table.columns) == ["version", "stage", "test_rmse", "test_r2", "age", "run", "image"]
    assert [(row[0], row[1], str(row[5]), row[6]) for row in table.rows] == [
        (2, "★ production", "train-good", "sugar:2"),
        (1, "none", "train-good", "–"),
    ]
    assert list(table.marked) == [0]
    (row,) = catalogue.tabulate_history(view).rows
    assert row[1:] == [2, "none", "production", "promote", "ana", "so", "overridden (beats champion: worse by 3)", "abcdefgh"]
    assert "✗ fail" in repr(catalogue.tabulate_findings([finding]))


def test_a_version_whose_run_is_gone_is_still_listed(client: Any) -> None:
    from mlflow.entities.model_registry import ModelVersion

    client.create_registered_model("bare")
    made: ModelVersion = client.create_model_version("bare", source="/nowhere", run_id="")
    (row,) = catalogue.tabulate_versions(client, view_model(client, "bare")).rows
    assert row[0] == int(made.version) and "its run is gone" in row


def test_of_many_versions_the_newest_are_shown_and_all_that_are_in_a_stage(client: Any) -> None:
    client.create_registered_model("many")
    for _ in range(120):  # more than a page of the registry
        client.create_model_version("many", source="/nowhere")
    client.set_registered_model_alias("many", "production", "3")
    view = view_model(client, "many")
    assert len(view.versions) == 120
    shown = [version.number for version in catalogue.choose_versions(view)]
    assert shown == [*range(120, 101, -1), 3]
    assert "(newest 20 of 120)" in catalogue.tabulate_versions(client, view).title


def test_outcomes_are_told_in_one_sentence() -> None:
    done = Transition(2, 1, "a", "promote", "staging", "production", gate={"verdict": "overridden"})
    said = catalogue.describe_outcome("promote", "su`gar", 2, done)
    assert said == "Version 2 of `` su`gar `` went from staging to **production**; the gate was overridden."
    assert catalogue.describe_outcome("register", "sugar", 3, None) == "Version 3 of `sugar` is registered."
    assert catalogue.describe_outcome("show", "", 0, None) == "Nothing was to be moved."


def test_the_timeline_has_a_spell_for_each_stay_and_ends_now() -> None:
    moves = [(1, "staging", 1000), (1, "production", 2000), (2, "production", 5000)]
    events = tell(Transition(v, when, "a", "promote", "none", to) for v, to, when in moves).events  # type: ignore[arg-type]
    spells = [spell for spell in find_spells(events, now=9) if spell[1] != "archived"]
    assert spells == [(1, "staging", 1, 2), (1, "production", 2, 5), (2, "production", 5, 9)]


def test_the_timeline_draws_the_versions_that_moved_last_and_a_name_as_text() -> None:
    now = int(time.time() * 1000)
    events = [Transition(n, now + n, "a", "promote", "none", "test") for n in range(1, 40)]
    figure = plot_timeline(tell(events).events, name="su$gar$_{x}")
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"version {n}" for n in range(28, 40)]
    assert axes.get_xlabel() == "local time" and "su" in axes.get_title()
