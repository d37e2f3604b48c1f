"""One execution of a notebook's cells: from the start of the kernel to the end of the run, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.iorw import write_ipynb
from papermill.log import logger

from boostlab.errors import StoreError
from boostlab.execution.client import Client, Record
from boostlab.execution.ending import Ending, RefusedError, failed, find_ending, to_papermill
from boostlab.execution.jobs import STATUS_VARIABLE
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.signals import Signals
from boostlab.tracking import environment
from boostlab.tracking.owner import Owner
from boostlab.tracking.summary import Results, describe_loss, describe_outcome, read_results

PAPERMILL_STARTUP_TIMEOUT_S = 60  # papermill passes it on if the user gives no --start-timeout
IOPUB_TIMEOUT_S = 600  # for the last outputs of a cell; nbclient's 4 seconds failed runs on a busy machine
STARTUP_TIMEOUT_S = 600  # for a busy machine; a kernel that dies while it starts is noticed at once


class Kernel(Protocol):
    """What an execution asks of its kernel."""

    name: str

    def manager(self) -> AsyncKernelManager:
        """Return a kernel manager that starts the kernel."""

    def describe_death(self) -> str:
        """Return how the kernel died."""


class Execution:
    """One execution of a notebook's cells, from the start of the kernel to the end of the run.

    Parameters
    ----------
    env : mapping of str to str, optional
        The kernel's environment, apart from what names the run; by default that of this process, without its own run.

    Attributes
    ----------
    ending : Ending
        The final status of the run, and why.
    results : Results
        What the run has recorded.
    """

    def __init__(self, record: Record, owner: Owner, label: str, *, env: Mapping[str, str] | None = None) -> None:
        self._record, self._owner, self._label = record, owner, label
        self._env = environment.outside() if env is None else env
        self.ending = Ending("")
        self.results = Results({}, {}, [])

    def conduct(self, kernel: Kernel, signals: Signals, **options: Any) -> Any:
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
        self.ending = ending
        self.results = results = read_results(self._owner.journal)
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

    def _run(self, kernel: Kernel, **options: Any) -> Ending:
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

    def _run_cells(self, kernel: Kernel, *, log_output: bool = False, **options: Any) -> None:
        given, cwd = options.pop("start_timeout", None), options.pop("cwd", None)
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
        client.execute(env=self._kernel_environment(), cleanup_kc=True, **({"cwd": cwd} if cwd else {}))

    def _kernel_environment(self) -> dict[str, str]:
        """Return the kernel's environment, which names the run for boostlab and for plain MLflow calls."""
        hidden = ("MLFLOW_EXPERIMENT_NAME", STATUS_VARIABLE)
        env = {name: value for name, value in self._env.items() if name not in hidden}
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
