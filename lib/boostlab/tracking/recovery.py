"""Complete orphaned runs: runs whose owner was killed, or whose machine went down."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from boostlab.errors import LabError
from boostlab.notebook.document import stage_notebook
from boostlab.redaction import environment_secrets
from boostlab.tracking.delivery import Delivery, add_end
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal, remove_litter, waiting_journals
from boostlab.tracking.store import OpenStore


def complete_orphans(store: OpenStore) -> Iterator[str]:
    """Complete the orphaned runs of this host in a store, and yield one message for each that cannot be completed."""
    remove_litter()
    for journal in waiting_journals():
        try:
            if not (journal.path / "run.json").exists() or not journal.acquire_delivery():
                continue  # its courier lives
            facts = journal.facts()
            if facts.store == store.shown and is_of_this_host(facts) and journal.acquire():
                complete_orphan(journal, store)
        except LabError as error:
            yield f"The run of the journal {journal.path.name} waits: {error}"
        except Exception as error:  # a damaged journal must not stop the others
            yield f"The journal {journal.path} cannot be delivered, and is kept: {type(error).__name__}: {error}"
        finally:
            journal.release()


def complete_orphan(journal: Journal, store: OpenStore) -> str:
    """Complete the run of an acquired journal, and return the run's id; a run without a final status is KILLED.

    Raises
    ------
    LabError
        If the store is lost or refuses a part of the run; the journal stays.
    """
    end_abandoned(journal)
    return Delivery(journal, store).complete()


def is_of_this_host(facts: RunFacts) -> bool:
    """Tell whether a run was started on this host: on a shared file system, another host's lock may not be seen here."""
    return facts.tags.get("boostlab.host") in (socket.gethostname(), None)


def end_abandoned(journal: Journal, *, secrets: frozenset[str] | None = None) -> None:
    """Add to an orphaned journal what its owner could not: the notebook from its output path, if it exists, and the end.

    The `secrets` are masked in the notebook. Without them, the notebook of an interactive run is left out, because it may
    contain secrets; that of a headless run was masked when it was saved.
    """
    if journal.has_end():
        return
    facts = journal.facts()
    is_interactive = facts.tags["boostlab.origin"] == "jupyter"
    cause = "the kernel ended before the notebook did" if is_interactive else "it was killed"
    reason = f"Process {facts.tags['boostlab.pid']} on {facts.tags['boostlab.host']} is gone: {cause}."
    output = Path(facts.output_path) if facts.output_path else None
    written = [journal.path / "entries.jsonl", journal.path / "run.json", *([output] if output else [])]
    end_s = max(path.stat().st_mtime for path in written if path.exists())
    if output is not None and output.is_file() and (secrets is not None if is_interactive else _is_fresh(output, facts)):
        masked = (secrets or frozenset()) | environment_secrets()
        try:
            with tempfile.TemporaryDirectory(prefix=".", dir=journal.path) as folder:
                journal.add("files", {}, stage_notebook(output, facts.notebook, Path(folder), secrets=masked))
        except (OSError, LabError) as error:  # such as a full disk: the end has its own space
            reason += f" Its notebook could not be kept: {error}"
    add_end(journal, "KILLED", {"boostlab.reason": reason}, end_s=end_s)


def _is_fresh(output: Path, facts: RunFacts) -> bool:
    """Tell whether the run itself wrote its output file; an earlier run may have written the same path."""
    return bool(output.stat().st_mtime * 1000 >= facts.start_time)
