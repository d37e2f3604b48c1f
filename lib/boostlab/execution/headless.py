"""A headless execution: it owns its run from before the kernel starts until after the kernel is gone.

papermill calls :func:`execute` for a boostlab notebook (:mod:`boostlab.engine`). Parameters are checked and the store
is opened first; then the run is made, the cells run, and the executed notebook goes into the run whatever the outcome.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import raise_for_execution_errors
from papermill.iorw import papermill_io, write_ipynb
from papermill.log import logger

from boostlab.errors import LabError, StoreError, is_lab_error
from boostlab.execution.client import Client, Record
from boostlab.execution.kernel import WarmKernel
from boostlab.execution.status import VARIABLE as STATUS_VARIABLE
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import check_parameters
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.redaction import find_secrets
from boostlab.signals import signals_raised
from boostlab.tracking import recovery
from boostlab.tracking.owner import Owner
from boostlab.tracking.run import describe_run
from boostlab.tracking.store import configure_mlflow, find_project, find_store, open_store
from boostlab.tracking.summary import describe_loss, describe_outcome

TAG_LENGTH = 5000  # characters, MLflow's limit for the value of a tag


class RefusedError(LabError, click.ClickException):
    """Nothing ran, or nothing more can be done: papermill's command shows the message alone and exits with 1."""

    def __init__(self, message: str) -> None:
        click.ClickException.__init__(self, message)


class CellError(LabError, PapermillExecutionError, click.ClickException):
    """A cell ended in a user's mistake: papermill's own exception, shown as one message instead of a traceback."""

    def __init__(self, message: str, error: PapermillExecutionError) -> None:
        click.ClickException.__init__(self, message)
        self.args = error.args
        self.__dict__.update(error.__dict__)

    def __str__(self) -> str:
        return self.message


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
    RefusedError
        If a parameter or the store cannot be used: before anything ran. Also if the store was lost on the way; what was
        recorded is then kept, and the message says how to deliver it.
    CellError
        If a cell ended in a LabError. Any other error in a cell is raised by papermill itself.
    """
    folder = _command_folder()
    source = str(folder / input_path) if _is_local(input_path) else None
    label = f"{name_notebook(source)}.ipynb"
    kernel: WarmKernel | None = None
    with signals_raised(lambda: kernel.discard() if kernel else None) as handlers:
        try:
            settings = check_parameters(nb, nb.metadata.papermill.get("parameters", {})).model_dump()
            project = find_project(Path(source) if source else None)
            store = find_store(settings.get("tracking_uri", ""), project=project, folder=folder)
            configure_mlflow(store)
            kernel = WarmKernel(nb, kernel_name)
            opened = open_store(store)
            output = nb.metadata.papermill.get("output_path")
            target = str(folder / output) if _is_local(output) else None
            _prepare_output(target)
            recovery.complete_orphans(opened)
            facts = describe_run(settings, store=store, notebook=source, origin="papermill", output_path=target)
            record = Record(
                nb,
                secrets=find_secrets({**settings, "store": store.uri, **_environment_secrets()}),
                output_path=output_path,
                progress_bar=progress_bar,
                log_output=log_output,
                autosave_cell_every=autosave_cell_every,
            )
            owner = Owner(facts, opened, secrets=record.secrets)
            return _Execution(record, owner, label).conduct(kernel, handlers, log_output=log_output, **client_options)
        except (RefusedError, CellError):
            raise
        except LabError as error:
            raise RefusedError(f"{label}: {error}") from None
        finally:
            if kernel is not None:
                kernel.discard()


@dataclass(frozen=True)
class _Ending:
    """How the cells ended: the run's status, the tags that say why, and what is raised to papermill."""

    status: str
    tags: dict[str, str] = field(default_factory=dict)
    error: BaseException | None = None


class _Execution:
    """The cells of one notebook, from the kernel's start to the run's end."""

    def __init__(self, record: Record, owner: Owner, label: str) -> None:
        self._record, self._owner, self._label = record, owner, label

    def conduct(self, kernel: WarmKernel, handlers: Mapping[int, Any], **options: Any) -> Any:
        """Run all cells, record how it ended, and raise what papermill should report."""
        ending = self._run(kernel, **options)
        self._record.notebook_complete()
        notebook = self._record.shareable()
        if ending.error is None:
            ending = _find_ending(notebook)
        self._owner.note_end(notebook, ending.status, ending.tags)
        for signum, handler in handlers.items():  # from here on the journal knows the end: interrupt as you like
            signal.signal(signum, handler)
        self._deliver(notebook, ending)
        return self._conclude(notebook, ending.error)

    def _run(self, kernel: WarmKernel, **options: Any) -> _Ending:
        """Make the run, run the cells, and tell how that ended; errors of cells stand in the notebook."""
        try:
            self._make_run()
            self._record.notebook_start()
            self._run_cells(kernel, **options)
            return _Ending("FINISHED")
        except RefusedError:
            raise
        except KeyboardInterrupt as stop:
            ending = _Ending("KILLED", {"boostlab.reason": f"Stopped by {stop or 'SIGINT'}."}, stop)
        except DeadKernelError:
            reason = kernel.describe_death()
            ending = _Ending("FAILED", {"boostlab.reason": reason}, DeadKernelError(reason))
        except Exception as error:
            name = type(error).__name__
            ending = _Ending("FAILED", _error_tags(name, str(error), f"The execution failed: {name}."), error)
        self._record.mark_stopped()
        return ending

    def _make_run(self) -> None:
        try:
            self._owner.begin()
        except StoreError as error:
            raise RefusedError(f"{self._label}: {error}") from None
        self._record.status.note_run(self._owner.journal.facts())

    def _run_cells(self, kernel: WarmKernel, *, log_output: bool = False, **options: Any) -> None:
        client = Client(
            self._record,
            km=kernel.manager(),
            kernel_name=kernel.name,
            timeout=options.pop("execution_timeout", None) or options.pop("timeout", None),
            startup_timeout=options.pop("start_timeout", 60),
            log=logger,
            log_output=log_output,
            **options,
        )
        client.execute(env=self._kernel_environment(), cleanup_kc=True)

    def _kernel_environment(self) -> dict[str, str]:
        """Return the kernel's environment: the run that it records into, for us and for plain MLflow calls alike."""
        facts = self._owner.journal.facts()
        env = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_EXPERIMENT_NAME", STATUS_VARIABLE)}
        return env | {
            JOURNAL_VARIABLE: str(self._owner.journal.path),
            "MLFLOW_RUN_ID": facts.run_id,
            "MLFLOW_EXPERIMENT_ID": facts.experiment_id,
            "MLFLOW_TRACKING_URI": self._owner.store.uri,
        }

    def _deliver(self, notebook: Any, ending: _Ending) -> None:
        """Put all that the store does not have yet into the store, and tell where to look."""
        summary = describe_outcome(self._owner.journal, ending.status, ending.tags.get("boostlab.reason", ""))
        try:
            self._owner.deliver()
        except StoreError as error:
            with contextlib.suppress(OSError):  # the journal has it too
                write_ipynb(notebook, notebook.metadata.papermill.get("output_path"))
            raise RefusedError(describe_loss(self._owner.journal, self._owner.store, ending.status, error)) from None
        logger.info("%s", summary)

    def _conclude(self, notebook: Any, error: BaseException | None) -> Any:
        """Return the executed notebook, or raise what papermill reports."""
        if isinstance(error, RefusedError):
            raise RefusedError(f"{self._label}: {error}") from None
        if isinstance(error, PapermillExecutionError) and is_lab_error(error.ename, error.traceback):
            raise CellError(f"{self._label}, cell In [{error.exec_count}]: {error.evalue}", error) from None
        if error is not None:
            raise error
        return notebook


def _find_ending(notebook: Any) -> _Ending:
    """Return how a notebook ended that ran until it was through or a cell stopped it, as its outputs tell."""
    try:
        raise_for_execution_errors(notebook, notebook.metadata.papermill.get("output_path"))
    except PapermillExecutionError as error:
        return _Ending("FAILED", _error_tags(error.ename, error.evalue, f"A cell raised {error.ename}."), error)
    except OSError as error:
        return _Ending("FAILED", _error_tags(type(error).__name__, str(error), "The output notebook cannot be saved."), error)
    left = [cell for cell in notebook.cells if _should_have_run(cell) and cell.execution_count is None]
    if left:  # sys.exit(0): papermill would call it a success, but the run has not done its work
        reason = f"The notebook ended itself {len(left)} cell(s) before its end."
        return _Ending("FAILED", {"boostlab.reason": reason}, RefusedError(reason))
    return _Ending("FINISHED")


def _should_have_run(cell: Any) -> bool:
    return cell.cell_type == "code" and cell.source.strip() and "skip-execution" not in cell.metadata.get("tags", [])


def _error_tags(name: str, message: str, reason: str) -> dict[str, str]:
    tags = {"boostlab.error.name": name, "boostlab.error.message": message, "boostlab.reason": reason}
    return {tag: text[:TAG_LENGTH] for tag, text in tags.items()}


def _command_folder() -> Path:
    """Return the folder in which papermill was called, which ``--cwd`` has left by now."""
    handler = papermill_io.get_handler("any.ipynb")
    folder = handler.cwd(None)  # papermill's way of setting it tells what stood before
    handler.cwd(folder)
    return Path(folder or Path.cwd())


def _is_local(path: Any) -> bool:
    """Tell whether a notebook is read from, or written to, this machine's files."""
    return isinstance(path, str) and path not in ("", "-") and "://" not in path


def _prepare_output(path: str | None) -> None:
    """Make the output's folder, and refuse what papermill would fail to write once the notebook has run."""
    if path is None:
        return
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"The output folder {folder} cannot be made: {error.strerror}. Give another path.") from None
    if Path(path).is_dir():
        raise LabError(f"The output {path} is a folder. Name a file in it.")
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise LabError(f"The output {path} cannot be written. Give another path.")


def _environment_secrets() -> dict[str, str]:
    """Return MLflow's own credentials, which a notebook could print."""
    return {name: value for name, value in os.environ.items() if name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")}
