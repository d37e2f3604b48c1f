"""Complete orphaned runs: runs whose owner was killed, or whose machine went down."""

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
    """Complete the orphaned runs of this host in a store, and return their ids; a run without a final status is KILLED."""
    completed = []
    for journal in orphaned_journals():
        try:
            if journal.facts().store == store.shown:
                end_abandoned(journal)
                completed.append(delivery.complete(journal, store))
        except LabError as error:
            logging.getLogger(__name__).warning("%s", error)
        except Exception as error:  # a damaged journal, such as one with an empty file, must not stop the present run
            what = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).warning("The journal %s cannot be delivered, and is kept: %s", journal.path, what)
        finally:
            journal.release()
    return completed


def end_abandoned(journal: Journal, *, secrets: frozenset[str] | None = None) -> None:
    """Add to an orphaned journal what its owner could not: the notebook from its output path, if it exists, and the end.

    The `secrets` are masked in the notebook. Without them, the notebook of an interactive run is left out, because it may
    contain secrets; that of a headless run was masked when it was saved.
    """
    if any(entry.type == "end" for entry in journal.entries()):
        return
    facts = journal.facts()
    is_interactive = facts.tags["boostlab.origin"] == "jupyter"
    cause = "the kernel ended before the notebook did" if is_interactive else "it was killed"
    reason = f"Process {facts.tags['boostlab.pid']} on {facts.tags['boostlab.host']} is gone: {cause}."
    output = Path(facts.output_path) if facts.output_path else None
    written = [*(entry.path for entry in journal.entries()), journal.path / "run.json", *([output] if output else [])]
    end_s = max(path.stat().st_mtime for path in written if path.exists())
    if output is not None and output.is_file() and (secrets is not None if is_interactive else _is_fresh(output, facts)):
        with tempfile.TemporaryDirectory() as folder:
            journal.add("files", {}, stage_notebook(output, facts.notebook, Path(folder), secrets=secrets or frozenset()))
    delivery.add_end(journal, "KILLED", {"boostlab.reason": reason}, end_s=end_s)


def _is_fresh(output: Path, facts: RunFacts) -> bool:
    """Tell whether the run itself wrote its output file; an earlier run may have written the same path."""
    return bool(output.stat().st_mtime * 1000 >= facts.start_time)
