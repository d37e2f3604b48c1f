"""Tables of the registry: models, a model's versions, its history, and the gate's results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from boostlab.comparison.search import read_rows
from boostlab.display.tables import Details, Link, Table
from boostlab.registry.history import ALIASES, INFERRED, Transition
from boostlab.registry.rule import RuleResult
from boostlab.registry.view import ModelView, Version, describe_age, list_models, read_run
from boostlab.tracking.facts import CARD_TAG
from boostlab.tracking.store import Store
from boostlab.tracking.ui import find_ui

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS = ("test_rmse", "test_r2", "test_log_loss", "test_balanced_accuracy", "test_roc_auc")
MAX_METRICS = 3
MAX_MODELS = 50
MAX_VERSIONS = 20
SIGNS = {"pass": "✓ pass", "fail": "✗ fail", "not applicable": "– not applicable"}
EMPTY = "none yet. Train and register a model first: papermill notebooks/train.ipynb out.ipynb -p register_as NAME"


def tabulate_models(client: MlflowClient) -> Table:
    """Return all registered models, with the version in each stage."""
    models = list_models(client)
    rows = []
    for model in models[:MAX_MODELS]:
        newest = max((int(version.version) for version in model.latest_versions), default="–")
        rows.append([model.name, newest, *(model.aliases.get(stage, "–") for stage in ALIASES)])
    left_out = f" (first {MAX_MODELS} of {len(models)})" if len(models) > MAX_MODELS else ""
    return Table(f"Registered models{left_out}", ["model", "newest version", *ALIASES], rows, empty=EMPTY)


def tabulate_versions(client: MlflowClient, view: ModelView) -> Table:
    """Return a model's versions with stage, metrics, age, run and image: those in a stage, and the newest of the others.

    The column *test rows* has the digest of the rows that the metrics are of: only metrics on the same rows can be compared.
    """
    shown = choose_versions(view)
    runs = {version.number: _read_run(client, version.run_id) for version in shown}
    known: set[str] = set().union(*(run[1] for run in runs.values()))
    names = [name for name in METRICS if name in known][:MAX_METRICS]
    ui = find_ui(Store(client.tracking_uri))
    rows = []
    for version in shown:
        name, metrics, experiment, split, card = runs[version.number]
        link = Link(name, ui.run_url(experiment, version.run_id)) if name else "the run was deleted"
        page = Link("card", ui.artifact_url(experiment, version.run_id, card)) if card else "–"
        figures = [metrics.get(metric) for metric in names] + ([split[:8] or "not recorded"] if names else [])
        stage = "★ production" if version.stage == "production" else version.stage
        rows.append(
            [version.number, stage, *figures, f"{describe_age(version.created_ms)} ago", link, page, version.image or "–"]
        )
    left_out = f" (newest {len(shown)} of {len(view.versions)})" if len(shown) < len(view.versions) else ""
    marked = [position for position, version in enumerate(shown) if version.stage == "production"]
    columns = ["version", "stage", *names, *(["test rows"] if names else []), "age", "run", "model card", "image"]
    return Table(f"{view.name}: versions{left_out}", columns, rows, marked)


def tabulate_history(view: ModelView) -> Table:
    """Return each transition with its time, author, reason and gate verdict; the newest first."""
    columns = ["when", "version", "from", "to", "how", "who", "why", "gate", "run"]
    rows = []
    for each in reversed(view.history.transitions):
        shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.time_ms / 1000))
        when = f"before {shown}" if each.action == INFERRED else shown
        change = [when, each.version, each.from_stage, each.to_stage, each.action]
        rows.append([*change, each.who, each.why, _show_gate(each), each.run_id[:8]])
    return Table(f"{view.name}: history", columns, rows, empty="no transitions yet")


def tabulate_results(results: Sequence[RuleResult]) -> Table:
    """Return the gate's results, one row per rule."""
    rows = [[SIGNS[item.outcome], item.rule.replace("_", " "), item.evidence] for item in results]
    marked = [position for position, item in enumerate(results) if item.outcome == "fail"]
    return Table("The gate's results", ["result", "rule", "evidence"], rows, marked, empty="no rule was checked")


def choose_versions(view: ModelView) -> list[Version]:
    """Return the versions to show: all that are in a stage, and the newest of the others."""
    staged = [version for version in view.versions if version.stage in ALIASES]
    others = [version for version in view.versions if version.stage not in ALIASES]
    return sorted([*staged, *others[: MAX_VERSIONS - len(staged)]], key=lambda version: -version.number)


@lru_cache(maxsize=1024)
def _read_run(client: MlflowClient, run_id: str) -> tuple[str, dict[str, float], str, str, str]:
    """Return a run's name, metrics, experiment, rows and card; a run that registered a model has ended: they do not change."""
    run = read_run(client, run_id)
    if run is None:
        return "", {}, "", "", ""
    card = run.data.tags.get(CARD_TAG, "")
    return str(run.info.run_name), dict(run.data.metrics), str(run.info.experiment_id), read_rows(run).digest, card


def _show_gate(item: Transition) -> str | Details:
    """Return the gate's verdict, which opens to show the failed rules with their evidence if it was overridden."""
    rules: dict[str, Any] = item.gate.get("rules", {})
    evidence: dict[str, Any] = item.gate.get("evidence", {})
    failed = [f"{name.replace('_', ' ')}: {evidence.get(name, 'failed')}" for name, outcome in rules.items() if outcome == "fail"]
    return Details(item.verdict, failed) if failed else item.verdict
