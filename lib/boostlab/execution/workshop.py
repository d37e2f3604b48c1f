"""A workshop: executes lab notebooks side by side in one process, which shares a courier and a template of kernels among them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_event_loop
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from boostlab.errors import LabError
from boostlab.execution.client import Record
from boostlab.execution.courier_template import share_courier_template
from boostlab.execution.execution import Execution
from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.injection import inject_plain_values
from boostlab.execution.provisioner import CAN_FORK
from boostlab.execution.template import Template
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import check_parameters
from boostlab.signals import Signals
from boostlab.tracking import environment
from boostlab.tracking.courier import Courier
from boostlab.tracking.owner import open_run
from boostlab.tracking.store import Store, configure_mlflow

_parsing = threading.Lock()  # in Python 3.11, threads that parse code at the same time may raise a SystemError (gh-106905)


@dataclass(frozen=True)
class Order:
    """A notebook to execute, and how its run is filed."""

    notebook: Any  #: of format 4
    path: Path | None  #: where it comes from; its name is that of the run's notebook
    parameters: Mapping[str, Any]  #: those that differ from the defaults
    experiment: str
    run_name: str
    tags: Mapping[str, str] = field(default_factory=dict)  #: more of the run's tags
    env: Mapping[str, str] = field(default_factory=dict)  #: more environment variables of the kernel
    cwd: str | None = None  #: the kernel's working directory; None: that of this process


@dataclass(frozen=True)
class Outcome:
    """How an ordered execution ended."""

    status: str  #: FINISHED, FAILED or KILLED; FAILED also if no run was made, or the store does not have the whole run
    run_id: str = ""  #: empty: no run was made
    run_name: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)  #: final ones
    tags: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  #: why it is not FINISHED


class Stop:
    """Stops an execution from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signals = Signals()
        self._kernel: Any = None
        self.reason = ""  #: once it is stopped

    def __call__(self, reason: str) -> None:
        """Kill the kernel, so that the run ends KILLED; an execution that has not begun does not begin."""
        with self._lock:
            self.reason = self.reason or reason
            if self._kernel is not None:
                self._signals.stopped = self._signals.stopped or KeyboardInterrupt(reason)
                self._kernel.kill()

    @contextlib.contextmanager
    def watching(self, kernel: Any) -> Iterator[Signals]:
        """Let an execution with this kernel be stopped in this context."""
        with self._lock:
            if self.reason:
                raise LabError(f"Stopped by {self.reason} before it began.")
            self._kernel = kernel
        try:
            yield self._signals
        finally:
            with self._lock:
                self._kernel = None


class Workshop:
    """Executes notebooks for one store; :meth:`execute` may be called by several threads at a time.

    Parameters
    ----------
    env : mapping of str to str, optional
        More environment variables of all kernels.
    """

    def __init__(self, store: Store, *, env: Mapping[str, str] | None = None) -> None:
        configure_mlflow(store)
        self.store = store
        self._env = environment.outside() | dict(env or {})  # once: packages that this process loads later add variables
        self._template = Template()
        self._starting = self._template.start_ahead(self._env)  # while the first run is being made
        self._courier = Courier(store, is_only=False, start=share_courier_template().start_courier if CAN_FORK else None)

    def close(self) -> None:
        """End the processes that the executions share, after what is still to be delivered."""
        self._starting.join()
        self._template.close()
        self._courier.dismiss()

    def execute(self, order: Order, *, stop: Stop | None = None) -> Outcome:
        """Execute a notebook as a run of its own, and return how it ended once the store has the whole run."""
        stop = stop or Stop()
        try:
            return self._execute(order, stop)
        except LabError as error:  # it could not begin
            return Outcome("KILLED" if stop.reason else "FAILED", reason=str(error))

    def _execute(self, order: Order, stop: Stop) -> Outcome:
        with _parsing:
            notebook, kernel_name = self._prepare(order)
            values = check_parameters(notebook, inject_plain_values(notebook, kernel_name)).model_dump()
        values |= {"experiment": order.experiment, "run_name": order.run_name}
        kernel = ForkedKernel(self._template, kernel_name)
        try:
            with (
                stop.watching(kernel) as signals,
                open_run(
                    values, self._courier, notebook=order.path, origin="papermill", output_path=None, tags=order.tags
                ) as owner,
            ):
                record = Record(notebook, secrets=owner.secrets, progress_bar=False)
                execution = Execution(record, owner, f"{name_notebook(order.path)}.ipynb", env=self._env | dict(order.env))
                raised = ""
                try:
                    execution.conduct(kernel, signals, cwd=order.cwd, shutdown_kernel="immediate")
                except (Exception, KeyboardInterrupt) as error:  # what papermill would raise
                    raised = str(error)
                ending = execution.ending
                is_whole = ending.status and not (
                    ending.status == "FINISHED" and raised
                )  # else the store lacks a part of the run
                return Outcome(
                    ending.status if is_whole else "FAILED",
                    owner.facts.run_id,
                    owner.facts.run_name,
                    execution.results.metrics,
                    {**execution.results.tags, **ending.tags},
                    ending.tags.get("boostlab.error.message") or ending.tags.get("boostlab.reason", "") or raised,
                )
        finally:
            kernel.discard()
            if not (loop := ensure_event_loop()).is_running():
                loop.close()  # Jupyter makes one for each thread, and leaves it open

    @staticmethod
    def _prepare(order: Order) -> tuple[Any, str]:
        """Return a copy of the notebook with the parameters, as papermill makes it, and the name of its kernel."""
        notebook = load_notebook_node(order.notebook)
        kernel_name, language = notebook.metadata.kernelspec.name, notebook.metadata.kernelspec.language
        notebook = parameterize_notebook(notebook, dict(order.parameters), kernel_name=kernel_name, language=language)
        notebook = prepare_notebook_metadata(notebook, str(order.path or ""), None)
        return remove_error_markers(notebook), kernel_name
