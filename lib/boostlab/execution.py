"""A headless execution: it owns its run from before the kernel starts until after the kernel is gone.

papermill calls :func:`execute` for a boostlab notebook (:mod:`boostlab.engine`). Parameters are checked and the store
is opened first; then the run is made, the cells run, and the executed notebook goes into the run whatever the outcome.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.exceptions import PapermillExecutionError
from papermill.execute import raise_for_execution_errors
from papermill.iorw import write_ipynb
from papermill.log import logger

from boostlab import delivery, documents, model
from boostlab.errors import LabError, StoreError, is_lab_error
from boostlab.journal import Journal
from boostlab.kernels import WarmKernel
from boostlab.parameters import check_parameters
from boostlab.redaction import find_secrets, redact
from boostlab.reports import describe_loss, describe_outcome
from boostlab.startup import uncollected
from boostlab.store import Store, configure_mlflow, find_project, find_store, open_store
from boostlab.tracking import JOURNAL_VARIABLE, describe_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SEND_INTERVAL_S = 0.05
LAST_SEND_TIMEOUT_S = 60.0
TAG_LENGTH = 5000  # characters, MLflow's limit for the value of a tag


class Refusal(LabError, click.ClickException):
    """Nothing ran, or nothing more can be done: papermill's command shows the message alone and exits with 1."""

    def __init__(self, message: str) -> None:
        click.ClickException.__init__(self, message)


class CellError(LabError, PapermillExecutionError, click.ClickException):
    """A cell ended in a user's mistake: papermill's own exception, shown as one message instead of a traceback."""

    def __init__(self, message: str, error: PapermillExecutionError) -> None:
        click.ClickException.__init__(self, message)
        self.args = error.args
        vars(self).update(vars(error))

    def __str__(self) -> str:
        return self.message


class Stopped(KeyboardInterrupt):
    """A signal asked for the end of the execution."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def execute(
    nb: Any,
    kernel_name: str,
    *,
    input_path: Any = None,
    output_path: str | None = None,
    progress_bar: bool | dict[str, Any] = True,
    log_output: bool = False,
    autosave_cell_every: int = 30,
    **client_options: Any,
) -> Any:
    """Execute a notebook as an MLflow run and return it executed; the signature is that of papermill's engines.

    Raises
    ------
    Refusal
        If a parameter or the store cannot be used: before anything ran. Also if the store was lost on the way; what was
        recorded is then kept, and the message says how to deliver it.
    CellError
        If a cell ended in a LabError. Any other error in a cell is raised by papermill itself.
    """
    source = input_path if isinstance(input_path, str) else None
    label = f"{documents.name_notebook(source)}.ipynb"
    kernel: WarmKernel | None = None
    with _signals_raised(lambda: kernel.discard() if kernel else None) as handlers:
        try:
            settings = check_parameters(nb, nb.metadata.papermill.get("parameters", {})).model_dump()
            store = find_store(settings.get("tracking_uri", ""), project=find_project(Path(source) if source else None))
            configure_mlflow(store)
            kernel = WarmKernel(nb, kernel_name)
            client = open_store(store)
            target = _absolute(nb.metadata.papermill.get("output_path"))
            _make_folder(target)
            delivery.complete_orphans(client, store)
            facts = describe_run(settings, store=store, notebook=source, origin="papermill", output_path=target)
            manager = _Manager(
                nb,
                secrets=find_secrets(settings),
                output_path=output_path,
                progress_bar=progress_bar,
                log_output=log_output,
                autosave_cell_every=autosave_cell_every,
            )
            run = _Execution(manager, Journal.create(facts), client, store, label)
            return run.conduct(kernel, handlers, log_output=log_output, **client_options)
        except (Refusal, CellError):
            raise
        except LabError as error:
            raise Refusal(f"{label}: {error}") from None
        finally:
            if kernel is not None:
                kernel.discard()


class _Manager(NotebookExecutionManager):
    """papermill's record of an execution, which never writes a secret and never calls a cell completed that was not."""

    def __init__(self, nb: Any, *, secrets: frozenset[str], **options: Any) -> None:
        super().__init__(nb, **options)
        self.secrets = secrets

    def save(self, **kwargs: Any) -> None:
        executed = self.nb
        self.nb = self.shareable()
        try:
            super().save(**kwargs)
        finally:
            self.nb = executed

    def shareable(self) -> Any:
        """Return the notebook as it may be kept: without secrets."""
        return redact(self.nb, self.secrets) if self.secrets else self.nb

    def mark_stopped(self) -> None:
        """Mark the cell that was running as failed: the kernel or the execution ended under it."""
        started = [cell for cell in self.nb.cells if cell.metadata.get("papermill", {}).get("start_time")]
        if started:
            self.cell_exception(started[-1])


@dataclass(frozen=True)
class _Ending:
    """How the cells ended: the run's status, the tags that say why, and what is raised to papermill."""

    status: str
    tags: dict[str, str] = field(default_factory=dict)
    error: BaseException | None = None


class _Sender(threading.Thread):
    """Sends a journal's entries while the notebook runs."""

    def __init__(self, journal: Journal, client: MlflowClient, store: Store) -> None:
        super().__init__(name="boostlab-sender", daemon=True)
        self._journal = journal
        self._arguments = journal, client, store
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Send until asked to stop, or until the store is lost: the end of the execution tries again."""
        with uncollected():  # while the kernel starts, load what the end of the run needs
            model.preload()
            documents.preload()
        try:
            while not self._stop_asked.wait(SEND_INTERVAL_S):
                delivery.send(*self._arguments)
        except StoreError as error:
            logger.warning("%s What the notebook records is kept.", error)
        finally:
            if not self._stop_asked.is_set():
                self._journal.mark_lost()

    def finish(self) -> None:
        """Stop, and wait for what is under way."""
        self._stop_asked.set()
        if self.ident is not None:
            self.join(LAST_SEND_TIMEOUT_S)


class _Execution:
    """The cells of one notebook, from the kernel's start to the run's end."""

    def __init__(self, manager: _Manager, journal: Journal, client: MlflowClient, store: Store, label: str) -> None:
        self._manager = manager
        self._journal = journal
        self._client = client
        self._store = store
        self._label = label

    def conduct(self, kernel: WarmKernel, handlers: Mapping[int, Any], **options: Any) -> Any:
        """Run all cells, record how it ended, and raise what papermill should report."""
        sender = _Sender(self._journal, self._client, self._store)
        ending = self._run(kernel, sender, **options)
        self._manager.notebook_complete()
        notebook = self._manager.shareable()
        if ending.error is None:
            try:
                raise_for_execution_errors(notebook, notebook.metadata.papermill.get("output_path"))
            except PapermillExecutionError as error:
                ending = _Ending("FAILED", _error_tags(error.ename, error.evalue), error)
        sender.finish()
        self._note_end(notebook, ending)
        for signum, handler in handlers.items():  # from here on the journal knows the end: interrupt as you like
            signal.signal(signum, handler)
        self._deliver(notebook, ending)
        return self._conclude(notebook, ending.error)

    def _run(self, kernel: WarmKernel, sender: _Sender, **options: Any) -> _Ending:
        """Make the run, run the cells, and tell how that ended; errors of cells stand in the notebook."""
        try:
            self._make_run()
            sender.start()
            self._manager.notebook_start()
            self._run_cells(kernel, **options)
            return _Ending("FINISHED")
        except Refusal:
            raise
        except KeyboardInterrupt as stop:
            ending = _Ending("KILLED", {"boostlab.reason": f"Stopped by {stop or 'SIGINT'}."}, stop)
        except DeadKernelError as death:
            ending = _Ending("FAILED", {"boostlab.reason": kernel.describe_death()}, death)
        except Exception as error:
            ending = _Ending("FAILED", _error_tags(type(error).__name__, str(error)), error)
        self._manager.mark_stopped()
        return ending

    def _make_run(self) -> None:
        try:
            delivery.create_run(self._journal, self._client, self._store)
        except StoreError as error:
            self._journal.remove()
            raise Refusal(f"{self._label}: {error}") from None

    def _run_cells(self, kernel: WarmKernel, *, log_output: bool = False, **options: Any) -> None:
        client = PapermillNotebookClient(
            self._manager,
            km=kernel.manager(),
            timeout=options.pop("execution_timeout", None) or options.pop("timeout", None),
            startup_timeout=options.pop("start_timeout", 60),
            log=logger,
            log_output=log_output,
            **options,
        )
        client.execute(env=self._kernel_environment(), cleanup_kc=True)

    def _kernel_environment(self) -> dict[str, str]:
        """Return the kernel's environment: the run that it records into, for us and for plain MLflow calls alike."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_EXPERIMENT_")}
        return env | {
            JOURNAL_VARIABLE: str(self._journal.path),
            "MLFLOW_RUN_ID": self._journal.facts()["run_id"],
            "MLFLOW_TRACKING_URI": self._store.uri,
        }

    def _note_end(self, notebook: Any, ending: _Ending) -> None:
        """Put the notebook and the end into the journal."""
        with tempfile.TemporaryDirectory() as folder:
            files = documents.stage_notebook(notebook, self._journal.facts()["notebook"], Path(folder))
            self._journal.add("files", {}, files)
        delivery.add_end(self._journal, ending.status, redact(ending.tags, self._manager.secrets))

    def _deliver(self, notebook: Any, ending: _Ending) -> None:
        """Put all that the store does not have yet into the store, and tell where to look."""
        try:
            summary = describe_outcome(self._journal, ending.status, ending.tags.get("boostlab.reason", ""))
            delivery.complete(self._journal, self._client, self._store)
        except StoreError as error:
            write_ipynb(notebook, notebook.metadata.papermill.get("output_path"))
            raise Refusal(describe_loss(self._journal, self._store, ending.status, error)) from None
        finally:
            self._journal.disown()
        logger.info("%s", summary)

    def _conclude(self, notebook: Any, error: BaseException | None) -> Any:
        """Return the executed notebook, or raise what papermill reports."""
        if isinstance(error, PapermillExecutionError) and is_lab_error(error.ename):
            raise CellError(f"{self._label}, cell In [{error.exec_count}]: {error.evalue}", error) from None
        if isinstance(error, Stopped) and error.signum != signal.SIGINT:
            raise SystemExit(128 + error.signum)
        if error is not None:
            raise error
        return notebook


def _error_tags(name: str, message: str) -> dict[str, str]:
    return {
        "boostlab.error.name": name,
        "boostlab.error.message": message[:TAG_LENGTH],
        "boostlab.reason": f"A cell raised {name}."[:TAG_LENGTH],
    }


def _make_folder(path: str | None) -> None:
    if path is None:
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"The output folder {Path(path).parent} cannot be made: {error.strerror}. Give another path.") from None


def _absolute(output_path: str | None) -> str | None:
    """Return the output's path on this machine, or None where it is elsewhere, or nowhere."""
    if not output_path or output_path == "-" or "://" in output_path:
        return None
    return str(Path(output_path).resolve())


@contextlib.contextmanager
def _signals_raised(at_stop: Callable[[], None]) -> Iterator[dict[int, Any]]:
    """Call `at_stop` and raise Stopped for signals that would end the process; yield the handlers that stood before."""

    def stop(signum: int, frame: FrameType | None) -> None:
        at_stop()
        raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before = {int(signum): signal.getsignal(signum) for signum in SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(signum, stop)
    try:
        yield before
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
