from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.registry import WEAK, add_version

from boostlab.display.tables import Details
from boostlab.registry.rule import RuleResult
from boostlab.registry.tables import choose_versions, tabulate_history, tabulate_models, tabulate_results, tabulate_versions
from boostlab.registry.transition import apply_transition, request_transition
from boostlab.registry.view import view_model

EVIL = "<img src=x onerror=alert(1)> $x$ | `a`"


def test_tables_show_stage_metrics_run_image_and_history(local_client: Any, name: str) -> None:
    for _ in range(2):
        add_version(local_client, name, why="good", rounds=WEAK)
    local_client.set_model_version_tag(name, "2", "boostlab.image", "sugar:2")
    run_id = local_client.get_model_version(name, "2").run_id
    local_client.set_tag(run_id, "boostlab.model_card", "model_card.html")
    result = RuleResult(rule="beats_champion", outcome="fail", evidence="worse by 3")
    request = request_transition(
        view_model(local_client, name), "promote", version=2, stage="production", override=True, reason="so"
    )
    _, view = apply_transition(local_client, replace(request, results=(result,)), who="ana", run_id="abcdefghij")
    assert [name, 2, "–", "–", 2] in [list(row) for row in tabulate_models(local_client).rows]
    table = tabulate_versions(local_client, view)
    assert list(table.columns) == ["version", "stage", "test_rmse", "test_r2", "test rows", "age", "run", "model card", "image"]
    assert [(row[0], row[1], str(row[6]), str(row[7]), row[8]) for row in table.rows] == [
        (2, "★ production", "train-good", "card", "sugar:2"),
        (1, "none", "train-good", "–", "–"),
    ]
    assert table.rows[0][7].address.endswith(f"/runs/{run_id}/artifacts/model_card.html")
    assert list(table.marked) == [0]
    (row,) = tabulate_history(view).rows
    assert row[1:] == [
        2,
        "none",
        "production",
        "promote",
        "ana",
        "so",
        Details("overridden", ["beats champion: worse by 3"]),
        "abcdefgh",
    ]
    assert "✗ fail" in repr(tabulate_results([result]))


def test_lists_a_version_without_a_run(local_client: Any, name: str) -> None:
    from mlflow.entities.model_registry import ModelVersion

    local_client.create_registered_model(name)
    made: ModelVersion = local_client.create_model_version(name, source="/nowhere", run_id="")
    (row,) = tabulate_versions(local_client, view_model(local_client, name)).rows
    assert row[0] == int(made.version) and "the run was deleted" in row


def test_shows_the_newest_versions_and_all_that_are_in_a_stage(local_client: Any, name: str) -> None:
    local_client.create_registered_model(name)
    for _ in range(30):
        local_client.create_model_version(name, source="/nowhere")
    local_client.set_registered_model_alias(name, "production", "3")
    view = view_model(local_client, name)
    shown = [version.number for version in choose_versions(view)]
    assert shown == [*range(30, 11, -1), 3]
    assert "(newest 20 of 30)" in tabulate_versions(local_client, view).title
