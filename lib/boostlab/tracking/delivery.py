"""Delivery: send a run's journal to the tracking store, so that each entry has its effect once.

All calls of a run to the store are made here, in the run's courier or, for an orphaned run, in whoever completes it. The
journal notes up to where sending was attempted. What may have been sent already is looked up in the store before it is sent
again. MLflow is imported where it is used, so that a refused command stays fast.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from boostlab.errors import StoreError
from boostlab.tracking import batches
from boostlab.tracking.entries import Entry
from boostlab.tracking.experiments import find_experiment
from boostlab.tracking.facts import JOURNAL_TAG, RunFacts
from boostlab.tracking.journal import Journal
from boostlab.tracking.logged_models import give_up_model, send_model
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.rivals import find_rivals
from boostlab.tracking.store import OpenStore, as_store_error

ENTRIES_PER_GROUP = 1000
PARAM_LENGTH = 6000  # characters, MLflow's limit for the value of a parameter
INSERT_PAUSES_S = (0.01, 0.1, 1.0)
TAKEN = ("IntegrityError", "UniqueViolation", "UNIQUE constraint", "duplicate key")  # in the errors of databases
REASON_TAG = "boostlab.reason"
REFUSES = "The store refuses a part of the run:"
REFUSAL_LENGTH = 600  # characters of the store's message that are passed on


class Delivery:
    """The delivery of one journal to a store.

    A :class:`StoreError` of any method leaves the journal as it is: the same call later continues. Its `kind` tells whether
    the store is lost or refuses the record.
    """

    def __init__(self, journal: Journal, store: OpenStore) -> None:
        self.journal, self.store = journal, store

    def create_run(self) -> RunFacts:
        """Make the run that the journal describes, unless an earlier attempt has made it, and return its facts.

        Raises
        ------
        StoreError
            If the experiment was deleted, the store refuses the run, or the store is lost.
        """
        facts, client = self.journal.facts(), self.store.client
        attempted = self.journal.path / "creating"
        if facts.run_id and not attempted.exists():
            return facts
        with as_store_error(self.store):
            if not facts.run_id:
                experiment_id = find_experiment(facts.experiment, self.store)
                run_id = self._find_run(experiment_id) if attempted.exists() else None
                if run_id is None:
                    attempted.touch()
                    tags = facts.tags | {JOURNAL_TAG: self.journal.path.name}
                    run = client.create_run(experiment_id, start_time=facts.start_time, tags=tags, run_name=facts.run_name)
                    run_id = run.info.run_id
                facts = self.journal.note_ids(run_id=run_id, experiment_id=experiment_id)
            self._log_params(facts)
        attempted.unlink(missing_ok=True)
        return facts

    def send(self) -> bool:
        """Send the unsent entries in order, and return whether the end of the run was among them.

        An entry that the store refuses gets a receipt with the refusal, and the next ones are sent.

        Raises
        ------
        StoreError
            If the store is lost, or refuses the end of the run.
        """
        facts = self.journal.facts()
        for group in _group(self.journal.entries(self.journal.cursor.sent)):
            is_repeated = group[0].start < self.journal.cursor.attempted
            self.journal.move_cursor(sent=group[0].start, attempted=group[-1].end)
            self._send_group(facts, group, is_repeated=is_repeated)
            self.journal.move_cursor(sent=group[-1].end)
            if group[-1].type == "end":
                return True
        return False

    def complete(self) -> str:
        """Send the rest of an ended run, remove its journal, and return the run's id.

        A run that the store has lost is made again.

        Raises
        ------
        StoreError
            If the store is lost, or has refused a record and no notebook has raised that; the journal stays.
        """
        with as_store_error(self.store):
            check_reachable(self.store)
            self._find_lost_run()
        facts = self.create_run()
        had_refused = any(self._refused())
        self.send()
        if had_refused:  # the run was ended without a part: now it may be whole
            self._end_again(facts)
        if refused := next(self._refused(), ""):
            text = f"The run {facts.run_name} has ended in the store, but the store refuses a part of it: {refused}"
            raise StoreError(text, kind="refused")
        self.journal.remove()
        return facts.run_id

    def _send_group(self, facts: RunFacts, group: Sequence[Entry], *, is_repeated: bool) -> bool:
        """Send the entries of a group together; if the store refuses them, send each alone, and keep each refusal.

        Return whether the store has taken all of them.
        """
        try:
            with as_store_error(self.store):
                receipt = self._send_entries(facts, group, is_repeated=is_repeated)
        except StoreError as error:
            if error.kind != "refused" or group[0].type == "end":
                if error.kind in ("refused", "gone"):
                    self._find_lost_run()  # it says more about a run that was deleted, and lets one that is gone be made again
                raise
            if len(group) > 1:
                taken = [self._send_group(facts, [entry], is_repeated=True) for entry in group]
                return all(taken)
            receipt = {"refused": str(error)[:REFUSAL_LENGTH]}
            if group[0].type == "model":
                give_up_model(self.store.client, facts, group[0])
        else:
            if is_repeated:
                self._clear_refusals(group)
        if receipt:
            self.journal.add_receipt(group[0], receipt)
        return "refused" not in receipt

    def _clear_refusals(self, taken: Sequence[Entry]) -> None:
        """Note that the store has taken entries that it may have refused before."""
        waiting = {start for start, receipt in self.journal.receipts().items() if _is_open(receipt)}
        for entry in taken:
            if entry.start in waiting:
                self.journal.add_receipt(entry, {})

    def _log_params(self, facts: RunFacts) -> None:
        """Give the new run its parameters; a run whose parameters are refused ends FAILED."""
        from mlflow.entities import Param

        params = [Param(name, value[:PARAM_LENGTH]) for name, value in facts.params.items()]
        try:
            with as_store_error(self.store):
                batches.send_params(self.store.client, facts.run_id, params)
        except StoreError as error:
            if error.kind == "refused":
                self.store.client.set_terminated(facts.run_id, "FAILED")
            raise

    def _send_entries(self, facts: RunFacts, group: Sequence[Entry], *, is_repeated: bool) -> dict[str, Any]:
        """Send the entries of a group, and return the receipt."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        client, run_id, entry = self.store.client, facts.run_id, group[0]
        match entry.type:
            case "metrics" | "tags" | "files":
                batches.send_batch(client, run_id, group, is_repeated=is_repeated)
            case "dataset":
                about = {key: value for key, value in entry.content.items() if key != "context"}
                dataset = DatasetInput(Dataset(**about), [InputTag("mlflow.data.context", entry.content["context"])])
                _retry_insert(lambda: client.log_inputs(run_id, [dataset]))
            case "rivals":
                return self._find_rivals(run_id, entry)
            case "model":
                return send_model(client, facts, entry, is_repeated=is_repeated)
            case "end":
                self._end(facts, entry)
            case unknown:
                raise StoreError(f"An entry of the journal has the unknown type {unknown!r}.")
        return {}

    def _find_rivals(self, run_id: str, entry: Entry) -> dict[str, Any]:
        """Answer a question of the notebook; without an answer the run is whole too."""
        folder = self.journal.path / "rivals"
        try:
            folder.mkdir(exist_ok=True)
            return find_rivals(self.store.client, run_id, folder, **entry.content)
        except Exception:  # whatever the store or its artifacts raise: the next entry finds out
            return {}

    def _end(self, facts: RunFacts, entry: Entry) -> None:
        """Give the run its final status. It is not FINISHED if the store refuses a part of it."""
        self._resend_refused(facts)
        status = entry.content["status"]
        if status == "FINISHED" and (refused := next(self._refused(), "")):
            status = "FAILED"
            self.store.client.set_tag(facts.run_id, REASON_TAG, f"{REFUSES} {refused}")
        self.store.client.set_terminated(facts.run_id, status, entry.content["end_time"])

    def _end_again(self, facts: RunFacts) -> None:
        """End the run once more, after the store had refused a part of it."""
        with as_store_error(self.store):
            self._end(facts, next(entry for entry in self.journal.entries() if entry.type == "end"))
            reason = self.store.client.get_run(facts.run_id).data.tags.get(REASON_TAG, "")
            if reason.startswith(REFUSES) and not any(self._refused()):
                self.store.client.delete_tag(facts.run_id, REASON_TAG)

    def _find_run(self, experiment_id: str) -> str | None:
        """Return the run of this journal, if an earlier attempt has made it."""
        name = self.journal.path.name
        found = self.store.client.search_runs([experiment_id], f"tags.`{JOURNAL_TAG}` = '{name}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _find_lost_run(self) -> None:
        """Check that the run is in the store; if the store has lost it, prepare the journal to make it again."""
        from mlflow.exceptions import MlflowException

        facts = self.journal.facts()
        if not facts.run_id:
            return
        try:
            run = self.store.client.get_run(facts.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self.journal.forget_sent()
            self.journal.note_ids(run_id="", experiment_id="")
            return
        if run.info.lifecycle_stage == "deleted":
            raise StoreError(
                f"The run {facts.run_name} was deleted in {self.store.shown}. To have the rest of it there, run: "
                f"mlflow runs restore --run-id {facts.run_id}. Otherwise delete the folder {self.journal.path}.",
                kind="refused",
            )

    def _resend_refused(self, facts: RunFacts) -> None:
        """Send again what the store has refused and no notebook has raised."""
        waiting = {start for start, receipt in self.journal.receipts().items() if _is_open(receipt)}
        for entry in self.journal.entries() if waiting else ():
            if entry.start in waiting:
                self._send_group(facts, [entry], is_repeated=True)

    def _refused(self) -> Iterator[str]:
        """Yield each refusal that no notebook has raised."""
        return (receipt["refused"] for receipt in self.journal.receipts().values() if _is_open(receipt))


def add_end(journal: Journal, status: str, tags: dict[str, str], *, end_s: float | None = None) -> None:
    """Add the final status, ``FINISHED``, ``FAILED`` or ``KILLED``, with its time in seconds since the epoch (default: now)."""
    if tags:
        journal.add("tags", tags, is_end=True)
    journal.add("end", {"status": status, "end_time": int((end_s or time.time()) * 1000)}, is_end=True)


def _retry_insert(insert: Callable[[], Any]) -> None:
    """Insert what another run may insert at the same time: MLflow looks whether it is there, and then adds it without a lock."""
    for pause_s in INSERT_PAUSES_S:
        try:
            insert()
            return
        except Exception as error:  # of SQLAlchemy, or as text from a server
            if not any(sign in str(error) for sign in TAKEN):
                raise
            time.sleep(pause_s)
    insert()


def _group(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries in order, those of metrics, tags and files that follow one another together."""
    for is_record, group in itertools.groupby(entries, key=lambda entry: entry.type in batches.TYPES):
        if is_record:
            yield from batches.cut(list(group), ENTRIES_PER_GROUP)
        else:
            yield from ([entry] for entry in group)


def _is_open(receipt: dict[str, Any]) -> bool:
    """Tell whether an entry was refused, and no notebook has raised that where the entry was logged."""
    return "refused" in receipt and not receipt.get("is_raised")
