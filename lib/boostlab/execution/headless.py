"""A headless execution: it owns its run from before the kernel starts until after the kernel has ended.

papermill calls :func:`execute` for a boostlab notebook (:mod:`boostlab.engine`). It checks the parameters, opens the store,
makes the run, runs the cells, and puts the executed notebook into the run, whatever the final status.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.iorw import papermill_io, write_ipynb
from papermill.log import logger

from boostlab.errors import LabError, StoreError
from boostlab.execution.client import Client, Record
from boostlab.execution.ending import CellError, Ending, RefusedError, failed, find_ending, to_papermill
from boostlab.execution.injection import inject_plain_values
from boostlab.execution.jobs import STATUS_VARIABLE
from boostlab.execution.kernel import WarmKernel
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import check_parameters
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.signals import Signals, signals_raised
from boostlab.tracking import environment
from boostlab.tracking.courier import Courier
from boostlab.tracking.owner import Owner, open_run
from boostlab.tracking.store import configure_mlflow, find_project, find_store
from boostlab.tracking.summary import describe_loss, describe_outcome, read_results

PAPERMILL_STARTUP_TIMEOUT_S = 60  # papermill passes it on if the user gives no --start-timeout
IOPUB_TIMEOUT_S = 600  # for the last outputs of a cell; nbclient's 4 seconds failed runs on a busy machine
STARTUP_TIMEOUT_S = 600  # for a busy machine; a kernel that dies while it starts is noticed at once


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
    """Execute a notebook as an MLflow run and return the executed notebook; the signature is that of papermill's engines.

    Raises
    ------
    RefusedError
        If a parameter, the output path or the store cannot be used: before a cell runs. Also if the store is lost during
        the run; the message then says how to deliver the record.
    CellError
        If a cell raised a LabError. papermill itself raises any other error in a cell.
    """
    folder = _command_folder()
    notebook = folder / input_path if _is_local(input_path) else None
    label = f"{name_notebook(notebook)}.ipynb"
    kernel: WarmKernel | None = None
    courier: Courier | None = None
    with signals_raised(lambda: kernel.kill() if kernel else None) as signals:
        try:
            values = check_parameters(nb, inject_plain_values(nb, kernel_name)).model_dump()
            store = find_store(values.get("tracking_uri", ""), project=find_project(notebook), folder=folder)
            configure_mlflow(store)
            courier = Courier(store)  # it opens the store, and the kernel loads the notebook's packages, side by side
            kernel = WarmKernel(nb, kernel_name)
            output = nb.metadata.papermill.get("output_path")
            target = folder / output if _is_local(output) else None
            if target is not None:
                _check_output(target, is_folder=str(output).endswith("/"))
            with open_run(values, courier, notebook=notebook, origin="papermill", output_path=target) as owner:
                record = Record(
                    nb,
                    secrets=owner.secrets,
                    output_path=output_path,
                    progress_bar=progress_bar,
                    log_output=log_output,
                    autosave_cell_every=autosave_cell_every,
                )
                return _Execution(record, owner, label).conduct(kernel, signals, log_output=log_output, **client_options)
        except (RefusedError, CellError):
            raise
        except LabError as error:
            raise RefusedError(f"{label}: {error}") from None
        finally:
            if kernel is not None:
                kernel.discard()
            if courier is not None:
                courier.dismiss()


class _Execution:
    """One execution of a notebook's cells, from the start of the kernel to the end of the run."""

    def __init__(self, record: Record, owner: Owner, label: str) -> None:
        self._record, self._owner, self._label = record, owner, label

    def conduct(self, kernel: WarmKernel, signals: Signals, **options: Any) -> Any:
        """Run all cells, record the ending, and return the notebook or raise what papermill should report."""
        ending = self._run(kernel, **options)
        if signals.stopped:  # also if another error followed from it, such as the death of the kernel
            ending = Ending("KILLED", {"boostlab.reason": f"Stopped by {signals.stopped}."}, signals.stopped)
        if ending.error is not None:
            self._record.mark_stopped()
        self._record.notebook_complete()
        notebook = self._record.shareable()
        if ending.error is None:
            ending = find_ending(notebook)
        results = read_results(self._owner.journal)
        self._record.report(metrics=results.metrics, tags=results.tags)
        reason = ending.tags.get("boostlab.reason", "")
        summary = describe_outcome(self._owner.facts, results, status=ending.status, reason=reason)
        self._owner.note_end(notebook, ending.status, ending.tags)  # from here on the courier may remove the journal
        signals.restore()  # the journal has the final status: a signal can no longer falsify it
        self._deliver(notebook, ending)
        logger.info("%s", summary)
        if ending.error is not None:
            raise to_papermill(ending.error, self._label) from None
        return notebook

    def _run(self, kernel: WarmKernel, **options: Any) -> Ending:
        """Make the run, run the cells, and return the ending; errors of cells are found in the notebook later."""
        try:
            self._owner.begin()
            if path := self._owner.facts.output_path:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._record.report(run=self._owner.facts)
            self._record.notebook_start()
            self._run_cells(kernel, **options)
            return Ending("FINISHED")
        except StoreError:  # the store refuses the run
            raise
        except KeyboardInterrupt as stop:  # a signal, or an interrupt in a thread
            return Ending("KILLED", {"boostlab.reason": f"Stopped by {stop or 'SIGINT'}."}, stop)
        except CellTimeoutError as error:
            return failed(error, f"A cell took longer than the limit of {options['execution_timeout']} s (--execution-timeout).")
        except DeadKernelError:
            reason = kernel.describe_death()
            return Ending("FAILED", {"boostlab.reason": reason}, DeadKernelError(reason))
        except Exception as error:
            return failed(error, f"The execution failed: {type(error).__name__}.")

    def _run_cells(self, kernel: WarmKernel, *, log_output: bool = False, **options: Any) -> None:
        given = options.pop("start_timeout", None)
        client = Client(
            self._record,
            km=kernel.manager(),
            kernel_name=kernel.name,
            timeout=options.pop("execution_timeout", None) or options.pop("timeout", None),
            iopub_timeout=IOPUB_TIMEOUT_S,
            startup_timeout=STARTUP_TIMEOUT_S if given in (None, PAPERMILL_STARTUP_TIMEOUT_S) else given,
            log=logger,
            log_output=log_output,
            **options,
        )
        client.execute(env=self._kernel_environment(), cleanup_kc=True)

    def _kernel_environment(self) -> dict[str, str]:
        """Return the kernel's environment, which names the run for boostlab and for plain MLflow calls."""
        env = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_EXPERIMENT_NAME", STATUS_VARIABLE)}
        run = environment.describe_run(self._owner.facts, self._owner.store)
        return env | run | {JOURNAL_VARIABLE: str(self._owner.journal.path)}

    def _deliver(self, notebook: Any, ending: Ending) -> None:
        """Deliver the rest of the run."""
        try:
            self._owner.deliver()
        except StoreError as error:
            with contextlib.suppress(OSError):  # the journal has the notebook too
                write_ipynb(notebook, notebook.metadata.papermill.get("output_path"))
            raise RefusedError(describe_loss(self._owner, ending.status, error)) from None


def _command_folder() -> Path:
    """Return the folder in which papermill was called; ``--cwd`` changes the working directory."""
    handler = papermill_io.get_handler("any.ipynb")
    folder = handler.cwd(None)  # papermill's setter returns the value before
    handler.cwd(folder)
    return Path(folder or Path.cwd())


def _is_local(path: Any) -> bool:
    """Tell whether a notebook's path is a file of this machine."""
    return isinstance(path, str) and path not in ("", "-") and "://" not in path


def _check_output(path: Path, *, is_folder: bool) -> None:
    """Refuse a path that papermill could not write after the last cell."""
    if is_folder or path.is_dir():
        raise LabError(f"The output {path} is a folder. Name a file in it.")
    there = next(place for place in (path, *path.parents) if place.exists())
    if there not in (path, path.parent) and not there.is_dir():
        raise LabError(f"The output folder {path.parent} cannot be made: {there} is a file. Give another path.")
    if not os.access(there, os.W_OK):
        raise LabError(f"The output {path} cannot be written: {there} is not writable. Give another path.")
