"""Runs that lost their owner: a process that was killed, a machine that went down. The next execution ends them."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from boostlab.errors import LabError
from boostlab.notebook.document import stage_notebook
from boostlab.tracking import delivery
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal, orphaned_journals
from boostlab.tracking.store import OpenStore


def complete_orphans(store: OpenStore) -> list[str]:
    """Complete the runs in this store whose owner on this host is gone: KILLED, unless they had ended. Return their ids."""
    completed = []
    for journal in orphaned_journals():
        try:
            if journal.facts().store == store.shown:
                end_abandoned(journal)
                completed.append(delivery.complete(journal, store))
        except LabError as error:
            logging.getLogger(__name__).warning("%s", error)
        finally:
            journal.disown()
    return completed


def end_abandoned(journal: Journal, *, secrets: frozenset[str] | None = None) -> None:
    """Add what an owner that was killed could not: the notebook from its output path, if it is there, and the end.

    Parameters
    ----------
    secrets : frozenset of str, optional
        What to keep out of the notebook. Without it, a notebook that was explored by hand stays out: it may hold some.
    """
    if any(entry.type == "end" for entry in journal.entries()):
        return
    facts = journal.facts()
    owner = f"Process {facts.tags['boostlab.pid']} on {facts.tags['boostlab.host']}"
    by_hand = facts.tags["boostlab.origin"] == "jupyter"
    reason = f"{owner} is gone: {'the kernel ended before the notebook did' if by_hand else 'it was killed'}."
    output = Path(facts.output_path) if facts.output_path else None
    if output is not None and output.is_file() and (secrets is not None if by_hand else _is_fresh(output, facts)):
        with tempfile.TemporaryDirectory() as folder:
            journal.add("files", {}, stage_notebook(output, facts.notebook, Path(folder), secrets=secrets or frozenset()))
    delivery.add_end(journal, "KILLED", {"boostlab.reason": reason}, seen=_last_sign(journal, output))


def _is_fresh(output: Path, facts: RunFacts) -> bool:
    """Tell whether an output was written by the run itself, and not by an earlier one."""
    return bool(output.stat().st_mtime * 1000 >= facts.start_time)


def _last_sign(journal: Journal, output: Path | None) -> float:
    """Return the time at which a run that lost its owner last wrote something, in seconds."""
    paths = [entry.path for entry in journal.entries()] + [journal.path / "run.json"]
    return max(path.stat().st_mtime for path in (*paths, output) if path is not None and path.exists())
