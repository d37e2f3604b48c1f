"""Summaries of a run as text: final status, metrics and links, for a terminal and for a notebook's last cell."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boostlab.display.markdown import escape, format_code, format_link, format_table
from boostlab.errors import LabError, show_controls
from boostlab.redaction import MASK
from boostlab.tracking.facts import FINDINGS_TAG, RunFacts

SPREADS = ("_std", "_low", "_high")  # ends of the names of metrics that say how sure another one is: only the run lists them

if TYPE_CHECKING:
    from boostlab.tracking.journal import Journal
    from boostlab.tracking.owner import Owner


@dataclass(frozen=True)
class Results:
    """What a run has recorded, as far as its journal is still there."""

    metrics: dict[str, float]  #: final ones
    tags: dict[str, str]
    versions: list[tuple[str, int]]  #: name and number of each registered version


def read_results(journal: Journal) -> Results:
    """Return what a run has recorded so far."""
    receipts, entries = journal.receipts(), list(journal.entries())
    metrics = [entry.content for entry in entries if entry.type == "metrics"]
    tags = [entry.content for entry in entries if entry.type == "tags"]
    models = [(entry.content["register_as"], receipts.get(entry.start, {})) for entry in entries if entry.type == "model"]
    return Results(
        metrics={name: value for entry in metrics if entry["final"] for name, value, *_ in entry["points"]},
        tags={name: value for entry in tags for name, value in entry.items()},
        versions=[(name, receipt["version"]) for name, receipt in models if "version" in receipt],
    )


def describe_outcome(facts: RunFacts, results: Results, *, status: str, reason: str) -> str:
    """Return a few lines on an ended run, for papermill's log."""
    findings = json.loads(results.tags.get(FINDINGS_TAG, "[]"))
    start = f" while this runs: {facts.ui.command}" if facts.ui.command else ""
    lines = [
        f"Run {facts.run_name}: {status} after {time.time() - facts.start_time / 1000:.1f} s. {reason}".rstrip(),
        *(f"  {name:<27} {value:.6g}" for name, value in results.metrics.items() if not name.endswith(SPREADS)),
        *(f"  finding: {' '.join(text.split())}" for text in findings),
        *(f"  registered as {name} version {version}" for name, version in results.versions),
        f"  experiment {facts.experiment}, run {facts.run_id}",
        f"  see {facts.run_url}{start}",
    ]
    return show_controls("\n".join(lines))


def describe_loss(owner: Owner, status: str, error: LabError) -> str:
    """Return a message on a run that could not be delivered, with the command that delivers it."""
    facts, journal = owner.facts, owner.journal
    prefix = "MLFLOW_TRACKING_URI=ADDRESS " if MASK in owner.store.shown else ""
    return (
        f"{error}\nThe run {facts.run_name} ended {status}. Its whole record is kept in {journal.path}, and the "
        f"output notebook is on disk.\nWhen the store is back, run: {prefix}boostlab deliver {journal.path.name}"
    )


def describe_findings(findings: Iterable[str]) -> str:
    """Return the findings of a run as a Markdown list."""
    return "\n".join(f"- {escape(text)}" for text in findings) or "No findings."


def tabulate_run(facts: RunFacts, model: Mapping[str, Any], register_as: str) -> str:
    """Return a Markdown table with links to the run, its experiment and its model."""
    ui = facts.ui
    rows = {
        "experiment": format_link(facts.experiment, ui.experiment_url(facts.experiment_id)),
        "run": f"{format_link(facts.run_name, facts.run_url)} (`{facts.run_id}`)",
        "model": f"`runs:/{facts.run_id}/model`",
    }
    if "model_id" in model:
        rows["model"] = f"{format_link('model', ui.model_url(facts.experiment_id, model['model_id']))} ({rows['model']})"
    if register_as and "version" in model:
        rows["registered as"] = format_link(
            f"{register_as} version {model['version']}", ui.version_url(register_as, model["version"])
        )
    elif register_as:
        rows["registered as"] = f"`{register_as}`, no version yet: the store is lost"
    if ui.command:
        rows["links"] = f"work while this runs: `{ui.command}`"
    return format_table(rows)


def list_next_steps(facts: RunFacts, register_as: str, suggestion: str) -> str:
    """Return as a Markdown list what to do after a training."""
    steps = ["**Compare** the runs: `compare.ipynb` ranks them and compares the best two row by row."]
    if register_as:
        steps.append("**Promote** the registered version: `registry.ipynb` judges it and moves it to a stage.")
    else:
        runs = format_code(f'runs = ["{facts.run_id}"]')
        steps.append(f"**Register** this model: `compare.ipynb` with {runs} and a name in `register_as`.")
    steps.append(f"**Try** other values: change the parameters, or run `show_form()` of `boostlab`. {suggestion}".rstrip())
    return "\n".join(f"- {step}" for step in steps)
