"""Runs that lost their owner: a process that was killed, a machine that went down. The next execution ends them."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab import delivery
from boostlab.documents import stage_notebook
from boostlab.errors import LabError
from boostlab.journal import Journal, orphaned_journals
from boostlab.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def complete_orphans(client: MlflowClient, store: Store) -> list[str]:
    """Complete the runs in this store whose owner on this host is gone: KILLED, unless they had ended. Return their ids."""
    completed = []
    for journal in orphaned_journals():
        try:
            if journal.facts()["store"] == store.shown:
                end_abandoned(journal)
                completed.append(delivery.complete(journal, client, store))
        except LabError as error:
            logging.getLogger(__name__).warning("%s", error)
        finally:
            journal.disown()
    return completed


def end_abandoned(journal: Journal) -> None:
    """Add what an owner that was killed could not: the notebook from its output path, if it is there, and the end."""
    if any(entry.kind == "end" for entry in journal.entries()):
        return
    facts = journal.facts()
    reason = f"Process {facts['tags']['boostlab.pid']} on {facts['tags']['boostlab.host']} is gone: it was killed."
    output = Path(facts["output_path"]) if facts.get("output_path") else None
    if output is not None and output.is_file() and output.stat().st_mtime * 1000 >= facts["start_time"]:
        with tempfile.TemporaryDirectory() as folder:
            journal.add("files", {}, stage_notebook(output, facts["notebook"], Path(folder)))
    delivery.add_end(journal, "KILLED", {"boostlab.reason": reason}, seen=_last_sign(journal, output))


def _last_sign(journal: Journal, output: Path | None) -> float:
    """Return the time at which a run that lost its owner last wrote something, in seconds."""
    paths = [entry.path for entry in journal.entries()] + [journal.path / "run.json"]
    return max(path.stat().st_mtime for path in (*paths, output) if path is not None and path.exists())
