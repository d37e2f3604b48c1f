"""papermill's execution of a boostlab notebook: it owns its run from before the kernel starts until after the kernel has ended.

papermill calls :func:`execute` (:mod:`boostlab.engine`). It checks the parameters, opens the store, makes the run, runs the
cells, and puts the executed notebook into the run, whatever the final status.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from papermill.iorw import papermill_io

from boostlab.errors import LabError
from boostlab.execution.client import Record
from boostlab.execution.courier_template import share_courier_template
from boostlab.execution.ending import CellError, RefusedError
from boostlab.execution.execution import Execution
from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.injection import inject_plain_values
from boostlab.execution.kernel import WarmKernel, find_modules, find_spec
from boostlab.execution.provisioner import can_fork, is_forked
from boostlab.execution.template import Template, share_template
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import check_parameters
from boostlab.signals import signals_raised
from boostlab.tracking import environment
from boostlab.tracking.courier import Courier
from boostlab.tracking.owner import open_run
from boostlab.tracking.store import configure_mlflow, find_project, find_store

SWEEP = "boostlab.sweep"  # a notebook that imports it executes others, with one thread each if it uses all cores


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
    kernel: WarmKernel | ForkedKernel | None = None
    courier: Courier | None = None
    with signals_raised(lambda: kernel.kill() if kernel else None) as signals:
        try:
            values = check_parameters(nb, inject_plain_values(nb, kernel_name)).model_dump()
            store = find_store(values.get("tracking_uri", ""), project=find_project(notebook), folder=folder)
            configure_mlflow(store)
            spec, modules = find_spec(kernel_name), find_modules(nb)
            is_sweep = SWEEP in modules and can_fork(spec)
            template = share_template(*modules, threads=1) if is_sweep else share_template() if is_forked(spec) else None
            start = partial(share_courier_template().start_courier, forks_first=is_sweep) if template else None
            # the courier opens the store, and the kernel loads the notebook's packages, side by side
            courier = Courier(store, start=start)
            env = environment.outside()
            kernel = _prepare_kernel(kernel_name, modules, template, env)
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
                return Execution(record, owner, label, env=env).conduct(kernel, signals, log_output=log_output, **client_options)
        except (RefusedError, CellError):
            raise
        except LabError as error:
            raise RefusedError(f"{label}: {error}") from None
        finally:
            if kernel is not None:
                kernel.discard()
            if courier is not None:
                courier.dismiss()


def _prepare_kernel(
    kernel_name: str, modules: list[str], template: Template | None, env: dict[str, str]
) -> WarmKernel | ForkedKernel:
    """Return the kernel, whose packages are loaded from now on; those of a forked kernel are loaded once in this process."""
    if template is None:
        return WarmKernel(modules, kernel_name)
    template.start_ahead(env)
    return ForkedKernel(template, kernel_name)


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
