"""Each ``-p NAME`` in a message or docstring of the library is a parameter of the notebook that it belongs to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import nbformat
import pytest
from tests.support.paths import PROJECT

from boostlab.notebook.parameters import read_parameters

LIBRARY = PROJECT / "lib" / "boostlab"
PARAMETERS = {
    path.stem: {parameter.name for parameter in read_parameters(nbformat.read(path, as_version=4))}
    for path in (PROJECT / "notebooks").glob("*.ipynb")
}
NOTEBOOKS = {  # whose parameters a package may name without naming the notebook; other packages: any notebook's
    "comparison": ["compare"],
    "registry": ["registry"],
    "deployment": ["deploy"],
    "scoring": ["score"],
    "training": ["train"],
}


def find_texts() -> Iterator[tuple[str, str]]:
    """Yield each string of the library with its file; the values in an f-string are left out."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                each.value if isinstance(each, ast.Constant) and isinstance(each.value, str) else "…" for each in parts
            )
            if "-p " in text:
                yield str(path.relative_to(LIBRARY)), text


def find_unknown(file: str, text: str) -> list[str]:
    """Return the names behind ``-p`` that are no parameter."""
    named = [match[1] or match[2] for match in re.finditer(r"(\w+)\.ipynb \S+\.ipynb|make (\w+) ARGS", text)]
    notebooks = named or NOTEBOOKS.get(file.partition("/")[0], list(PARAMETERS))
    known = set().union(*(PARAMETERS[notebook] for notebook in notebooks))
    return [name for name in re.findall(r"-p (\w+)", text) if name not in known]


def test_the_library_names_parameters_that_exist() -> None:
    texts = list(find_texts())
    assert len(texts) > 10
    assert [(file, name) for file, text in texts for name in find_unknown(file, text)] == []


@pytest.mark.parametrize(
    ("file", "text", "unknown"),
    [
        ("registry/gate.py", "choose another file: -p gate FILE", ["gate"]),
        ("registry/gate.py", "choose another file: -p gate_file FILE", []),
        ("registry/tables.py", "papermill notebooks/train.ipynb out.ipynb -p register_as NAME -p gate_file F", ["gate_file"]),
        ("tracking/store.py", "-p tracking_uri … -p nothing 1", ["nothing"]),
    ],
)
def test_finds_names_that_are_no_parameters(file: str, text: str, unknown: list[str]) -> None:
    assert find_unknown(file, text) == unknown
