"""A notebook as a document: its mark, its short name, and its copy and HTML page in the run."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boostlab.redaction import redact

UNSAFE = re.compile(r"[^\w .,()+=@-]")  # an MLflow server takes a # or % in the name of an artifact as part of an address


def is_lab_notebook(notebook: Mapping[str, Any]) -> bool:
    """Tell whether a notebook's metadata marks it as a boostlab notebook."""
    return "boostlab" in notebook["metadata"]


def name_notebook(source: object) -> str:
    """Return a notebook's short name: ``train`` for ``notebooks/train.ipynb``."""
    return Path(source).stem if isinstance(source, str | Path) and str(source) != "-" else "notebook"


def is_scratch(cell: Mapping[str, Any]) -> bool:
    """Tell whether a code cell is tagged ``scratch``: it is for trying things out, and headless runs skip it."""
    return cell["cell_type"] == "code" and "scratch" in cell["metadata"].get("tags", [])


def find_step(cells: Sequence[Any], position: int) -> str:
    """Return the last Markdown heading above a cell: the step of the notebook to which the cell belongs.

    Examples
    --------
    >>> cells = [{"cell_type": "markdown", "source": "## Training"}, {"cell_type": "code", "source": "fit()"}]
    >>> find_step(cells, 1)
    'Training'
    """
    sources = ["".join(cell["source"]) for cell in cells[: position + 1] if cell["cell_type"] == "markdown"]
    headings = [line for source in sources for line in source.splitlines() if re.match("#+ ", line)]
    return headings[-1].lstrip("# ").strip() if headings else ""


def map_steps(path: Path) -> dict[str, str]:
    """Return the step of each cell of a notebook's file by the cell's id; nothing if the file cannot be read."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return {cell["id"]: find_step(cells, position) for position, cell in enumerate(cells) if "id" in cell}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def stage_notebook(notebook: Any, name: str, folder: Path, *, secrets: frozenset[str] = frozenset()) -> Path:
    """Write a notebook and its HTML as ``notebook/<name>.ipynb`` and ``.html`` below a new folder.

    Parameters
    ----------
    notebook : nbformat.NotebookNode or pathlib.Path
        The document, or its file.
    folder : pathlib.Path
        An existing folder; the result lies in its subfolder ``files``.
    secrets : frozenset of str
        Texts to mask in a notebook from a file; a document is kept unchanged.

    Returns
    -------
    pathlib.Path
        The folder ``files``.
    """
    import nbformat  # slow to load, and a kernel does not need it

    from boostlab.notebook.page import to_html

    name = UNSAFE.sub("_", name)
    files = folder / "files"
    target = files / "notebook"
    target.mkdir(parents=True)
    try:
        document = redact(nbformat.read(notebook, as_version=4), secrets) if isinstance(notebook, Path) else notebook
    except (ValueError, nbformat.ValidationError):  # a partly written file: keep its text
        text = Path(notebook).read_text(encoding="utf-8", errors="replace")
        (target / f"{name}.ipynb").write_text(redact(text, secrets), encoding="utf-8")
        return files
    nbformat.write(document, target / f"{name}.ipynb")
    try:
        (target / f"{name}.html").write_text(to_html(document), encoding="utf-8")
    except Exception as error:  # one output that nbconvert cannot render must not cost the run its notebook
        logging.getLogger(__name__).warning("%s.ipynb cannot be rendered as HTML: %s", name, error)
    return files
