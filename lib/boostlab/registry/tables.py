"""What the registry holds, as tables: models, a model's versions, its history, and what the gate found."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from boostlab.display.markdown import format_code
from boostlab.display.tables import Link, Table
from boostlab.registry.gate import Finding
from boostlab.registry.history import Transition
from boostlab.registry.stages import ALIASES
from boostlab.registry.view import ModelView, Version, describe_age, list_models, read_run
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.store import Store
from boostlab.tracking.ui import find_ui

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS = ("test_rmse", "test_r2", "test_log_loss", "test_balanced_accuracy", "test_roc_auc")
MOST_METRICS = 3
MOST_MODELS = 50
MOST_VERSIONS = 20
MOST_SHOWN = 10  # models, with their versions and history, where none is named
SIGNS = {"pass": "✓ pass", "fail": "✗ fail", "not applicable": "– not applicable"}
EMPTY = "none yet. Train and register a model first: papermill notebooks/train.ipynb out.ipynb -p register_as NAME"


def tabulate_models(client: MlflowClient) -> Table:
    """Return all registered models, with the version that is in each stage."""
    models = list_models(client)
    rows = []
    for model in models[:MOST_MODELS]:
        newest = max((int(version.version) for version in model.latest_versions), default="–")
        rows.append([model.name, newest, *(model.aliases.get(stage, "–") for stage in ALIASES)])
    left_out = f" (first {MOST_MODELS} of {len(models)})" if len(models) > MOST_MODELS else ""
    return Table(f"Registered models{left_out}", ["model", "newest version", *ALIASES], rows, empty=EMPTY)


def tabulate_versions(client: MlflowClient, view: ModelView) -> Table:
    """Return a model's versions with stage, metrics, age, run and image: those in a stage, and the newest of the others."""
    shown = choose_versions(view)
    runs = {version.number: _read_run(client, version.run_id) for version in shown}
    known: set[str] = set().union(*(metrics for _, metrics, _ in runs.values()))
    names = [name for name in METRICS if name in known][:MOST_METRICS]
    ui = find_ui(Store(client.tracking_uri))
    rows = []
    for version in shown:
        name, metrics, experiment = runs[version.number]
        link = Link(name, ui.run_url(experiment, version.run_id)) if name else "its run is gone"
        figures = [metrics.get(metric) for metric in names]
        stage = "★ production" if version.stage == "production" else version.stage
        rows.append([version.number, stage, *figures, f"{describe_age(version.created_ms)} ago", link, version.image or "–"])
    left_out = f" (newest {len(shown)} of {len(view.versions)})" if len(shown) < len(view.versions) else ""
    marked = [position for position, version in enumerate(shown) if version.stage == "production"]
    return Table(f"{view.name}: versions{left_out}", ["version", "stage", *names, "age", "run", "image"], rows, marked)


def tabulate_history(view: ModelView) -> Table:
    """Return who moved which version when, from where to where, why, and what the gate said; the newest first."""
    events = view.current.events[::-1]
    columns = ["when", "version", "from", "to", "how", "who", "why", "gate", "run"]
    rows = [
        [
            _moment(item),
            item.version,
            item.from_stage,
            item.to_stage,
            item.action,
            item.who,
            item.why,
            _gate(item),
            item.run_id[:8],
        ]
        for item in events
    ]
    return Table(f"{view.name}: history", columns, rows, empty="no version was moved yet")


def tabulate_findings(findings: Sequence[Finding]) -> Table:
    """Return what the gate found, rule by rule."""
    rows = [[SIGNS[item.outcome], item.rule.replace("_", " "), item.evidence] for item in findings]
    marked = [position for position, item in enumerate(findings) if item.outcome == "fail"]
    return Table("The gate's findings", ["finding", "rule", "evidence"], rows, marked, empty="no rule was asked")


def choose_models(client: MlflowClient, name: str) -> list[str]:
    """Return the models to show: the one that is named, else the first ten."""
    return [name] if name else [str(model.name) for model in list_models(client)][:MOST_SHOWN]


def write_findings(findings: Sequence[Finding]) -> str:
    """Return the findings as the JSON that a run keeps."""
    return json.dumps([finding.model_dump() for finding in findings], indent=1, ensure_ascii=False)


def describe_outcome(asked: str, name: str, version: int, done: Transition | None) -> str:
    """Return one sentence, as Markdown, on what became of what was asked."""
    if done is not None:
        moved = f"Version {done.version} of {format_code(name)} went from {done.from_stage} to **{done.to_stage}**"
        return f"{moved}; the gate was overridden." if _verdict(done) == "overridden" else f"{moved}; the gate let it pass."
    return f"Version {version} of {format_code(name)} is registered." if asked == "register" else "Nothing was to be moved."


def where_to_look(facts: RunFacts, name: str, done: Transition | None) -> str:
    """Return, as Markdown, where MLflow's UI shows what this run did: the version that moved, else the run itself."""
    address = facts.ui.version_url(name, done.version) if done else facts.run_url
    command = facts.ui.command
    return f"[See it in MLflow's UI]({address}){f', while this runs: `{command}`' if command else ''}."


def choose_versions(view: ModelView) -> list[Version]:
    """Return the versions to show: all that are in a stage, and the newest of the others."""
    staged = [version for version in view.versions if version.stage in ALIASES]
    others = [version for version in view.versions if version.stage not in ALIASES]
    return sorted([*staged, *others[: MOST_VERSIONS - len(staged)]], key=lambda version: -version.number)


@lru_cache(maxsize=1024)
def _read_run(client: MlflowClient, run_id: str) -> tuple[str, dict[str, float], str]:
    """Return a run's name, metrics and experiment; those of a run that registered a model change no more."""
    run = read_run(client, run_id)
    if run is None:
        return "", {}, ""
    return str(run.info.run_name), dict(run.data.metrics), str(run.info.experiment_id)


def _moment(item: Transition) -> str:
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item.time_ms / 1000))
    return f"before {shown}" if item.action == "outside" else shown


def _gate(item: Transition) -> str:
    """Return the gate's verdict, with the rules that it was overridden in, and why they failed."""
    rules: dict[str, Any] = item.gate.get("rules", {})
    evidence: dict[str, Any] = item.gate.get("evidence", {})
    failed = [f"{name.replace('_', ' ')}: {evidence.get(name, 'failed')}" for name, outcome in rules.items() if outcome == "fail"]
    return f"{_verdict(item)} ({'; '.join(failed)})" if failed else _verdict(item)


def _verdict(item: Transition) -> str:
    return str(item.gate.get("verdict", "–"))
