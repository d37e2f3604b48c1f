"""The notebook that the trials of a sweep execute: its parameters, and which values it takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pydantic

from boostlab.errors import LabError, ParameterError, locate
from boostlab.notebook.document import is_lab_notebook, is_scratch, name_notebook
from boostlab.notebook.explanation import explain_errors
from boostlab.notebook.kit import KIT
from boostlab.notebook.parameters import Parameter, find_schema, read_parameters, refuse_unknown
from boostlab.notebook.settings import Settings
from boostlab.tracking.store import find_project


@dataclass(frozen=True)
class Fault:
    """Why the notebook does not take values."""

    message: str
    is_of_one: bool  #: whether one value is wrong by itself, and not only next to others


@dataclass(frozen=True)
class Target:
    """A notebook's parameters, with the values that a sweep fixes."""

    notebook: str  #: what messages call it
    parameters: Mapping[str, Parameter]
    schema: type[Settings]
    fixed: Mapping[str, Any]

    @property
    def base(self) -> dict[str, Any]:
        """The notebook's defaults, overridden by the fixed values."""
        return {name: parameter.default for name, parameter in self.parameters.items()} | dict(self.fixed)

    def find_fault(self, values: Mapping[str, Any]) -> Fault | None:
        """Return why the notebook does not take these values, next to its own and the fixed ones; None if it takes them."""
        try:
            given = self.base | dict(values)
            self.schema(**{name: given[name] for name in self.schema.model_fields if name in given})
        except pydantic.ValidationError as error:
            return Fault(explain_errors(self.schema, error), any(fault["loc"] for fault in error.errors()))
        return None

    def find_number(self, name: str) -> type[int] | type[float] | None:
        """Return the type of a parameter's numbers: int, or else float; None if it takes no numbers."""
        declared = self.parameters[name].type
        options = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
        return float if float in options or Any in options else int if int in options else None

    def convert(self, name: str, value: Any) -> Any:
        """Return a value as the parameter has it: a whole number as a float if its type is float."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if is_whole and self.find_number(name) is float and self.parameters[name].type is not Any else value


def read_target(notebook: Mapping[str, Any], fixed: Mapping[str, Any]) -> Target:
    """Return the parameters of a notebook.

    Raises
    ------
    ParameterError
        If a fixed name is unknown, or its value is ill-typed or out of range.
    """
    declared = {parameter.name: parameter for parameter in read_parameters(notebook)}
    refuse_unknown(fixed, declared)
    target = Target("the notebook", declared, find_schema(notebook), dict(fixed))
    fault = target.find_fault({})
    if fault and fault.is_of_one:
        raise ParameterError(f"fixed: {fault.message}")
    return target


def validate(notebook: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a notebook's parameters as its run gets them, such as 1.0 for 1; none if it does not take them."""
    schema = find_schema(notebook)
    try:
        return schema(**{name: values[name] for name in schema.model_fields if name in values}).model_dump()
    except pydantic.ValidationError:
        return {}


def find_notebook(given: str, beside: str) -> Path:
    """Return the path of a notebook: as given, next to the sweep's notebook or the project's others, or of the kit."""
    folders = [Path.cwd(), Path(beside).parent, find_project() / "notebooks", KIT / "notebooks"]
    found = next((folder / given for folder in folders if (folder / given).is_file()), None)
    if found is None:
        raise LabError(f"There is no notebook {locate(Path(given))}. Give its path: -p notebook notebooks/train.ipynb.")
    return found.resolve()


def digest_code(notebook: Mapping[str, Any]) -> str:
    """Return a digest of the code that decides what a trial's metrics are: all cells but the parameters and scratch cells."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and not is_scratch(cell)]
    code = [cell["source"].strip() for cell in cells if "parameters" not in cell["metadata"].get("tags", [])]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def read_notebook(path: Path) -> Any:
    """Return a lab notebook.

    Raises
    ------
    LabError
        If the file is no notebook, or its executions are no runs.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError):
        raise LabError(f"{path} is not a notebook. Give the path of an .ipynb file.") from None
    if not is_lab_notebook(notebook):
        raise LabError(
            f"{name_notebook(path)}.ipynb is no lab notebook: its executions are no runs, and have no metrics. Add "
            '"boostlab": {} to its metadata, and call start_run in it.'
        )
    return notebook
