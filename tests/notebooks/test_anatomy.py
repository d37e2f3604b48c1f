"""Rules for every notebook of the kit: its anatomy, its imports, and the agreement with its settings class."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import nbformat
import papermill
import pytest
import yaml
from tests.support.paths import PROJECT

from boostlab.notebook.parameters import check_parameters, find_schema, read_parameters

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
SETS = sorted(
    path for path in (PROJECT / "parameters").glob("*/*.yaml") if path.name != "gate.yaml" and path.parent.name != "sweep"
)  # the gate holds rules, and a sweep's files are spaces
MOST_IMPORTS = 6
MOST_CELLS = 38
BANNED = re.compile(r"sys\.path|%pip|!pip|filterwarnings|simplefilter|['\"]/(home|work|root|tmp|Users)/")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def import_cells(notebook: Any) -> list[str]:
    """Return the source of each cell that imports, apart from the parameters."""
    sources = [cell.source for cell in code_cells(notebook)[1:]]
    return [text for text in sources if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(text)))]


def test_there_are_notebooks_and_parameter_sets() -> None:
    assert NOTEBOOKS
    assert SETS


def test_is_valid_names_its_settings_and_holds_no_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert "schema" in notebook.metadata.boostlab
    assert not [cell for cell in code_cells(notebook) if cell.outputs or cell.execution_count]


def test_has_the_anatomy_of_a_lab_notebook(notebook: Any) -> None:
    assert 12 <= len(notebook.cells) <= MOST_CELLS
    first, second, third, fourth, fifth, sixth = notebook.cells[:6]
    assert first.source.startswith("# ")
    assert "?" in first.source
    assert all(f"**{word}**" in first.source for word in ("Reads", "Writes", "Next"))
    assert [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])] == [second]
    assert third.source.startswith("## Run")
    assert ".check(globals())" in fourth.source and "start_run(settings)" in fourth.source
    assert fifth.source.startswith("## Libraries") and set(import_cells(notebook)) == {fourth.source, sixth.source}
    assert any(cell.cell_type == "markdown" and cell.source.startswith("## Result") for cell in notebook.cells[-3:])


def test_papermill_reads_each_parameter_with_its_comment(notebook: Any, tmp_path: Path) -> None:
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    found = papermill.inspect_notebook(tmp_path / "notebook.ipynb")
    assert {name: parameter["help"] for name, parameter in found.items()} == {
        parameter.name: parameter.help for parameter in read_parameters(notebook)
    }


def test_code_is_short_and_plain(notebook: Any) -> None:
    for cell in code_cells(notebook)[1:]:
        assert len(cell.source.splitlines()) <= 10 or cell.source in import_cells(notebook), cell.source
        assert not BANNED.search(cell.source)
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef)


def test_imports_are_few_and_from_packages(notebook: Any) -> None:
    """The run is opened before the libraries load, so that something is on the screen at once: two cells import."""
    statements = [
        node
        for source in import_cells(notebook)
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(statements) <= MOST_IMPORTS
    assert all(isinstance(statement, ast.ImportFrom) for statement in statements)
    modules = {str(statement.module) for statement in statements if isinstance(statement, ast.ImportFrom)}
    assert all(re.fullmatch(r"boostlab(\.[a-z]+)?", module) for module in modules), modules
    for module in modules:
        assert (PROJECT / "lib" / module.replace(".", "/") / "__init__.py").exists(), f"{module} is a module inside a package"


def test_no_step_is_skipped_by_a_conditional_expression(notebook: Any) -> None:
    for cell in code_cells(notebook)[1:]:
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.IfExp)], cell.source


def test_a_name_means_one_thing(notebook: Any) -> None:
    """No parameter is assigned again below the parameters cell."""
    names = {parameter.name for parameter in read_parameters(notebook)}
    for cell in code_cells(notebook)[1:]:
        for node in ast.walk(ast.parse(cell.source)):
            assert not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names)


def without_choices(annotation: Any) -> Any:
    """Return a type with ``str`` in the place of a choice of words."""
    if get_origin(annotation) is Literal:
        return str
    if get_origin(annotation) is list and get_origin(get_args(annotation)[0]) is Literal:
        return list[str]
    return dict[str, str] if get_origin(annotation) is dict and get_origin(get_args(annotation)[1]) is Literal else annotation


def test_parameters_cell_and_settings_agree(notebook: Any) -> None:
    declared = {parameter.name: parameter for parameter in read_parameters(notebook)}
    fields = find_schema(notebook).model_fields
    assert set(declared) == set(fields)
    for name, parameter in declared.items():
        assert parameter.help, name
        assert parameter.type == without_choices(fields[name].annotation), name


def test_defaults_are_allowed(notebook: Any) -> None:
    check_parameters(notebook, {})


@pytest.mark.parametrize("path", SETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_parameter_set_fits_its_notebook_and_says_its_purpose(path: Path) -> None:
    target = nbformat.read(PROJECT / "notebooks" / f"{path.parent.name}.ipynb", as_version=4)
    check_parameters(target, yaml.safe_load(path.read_text()))
    assert path.read_text().startswith("# ")


def test_each_data_set_and_each_local_store_has_a_parameter_set() -> None:
    values = [yaml.safe_load(path.read_text()) for path in SETS if path.parent.name == "train"]
    assert {v["dataset"] for v in values if "dataset" in v} == {"breast_cancer", "diabetes", "digits", "iris", "wine"}
    assert {v["tracking_uri"].partition(":")[0] for v in values if "tracking_uri" in v} == {"sqlite", "file"}
