"""A notebook as a document: its mark, its short name, and its copy and HTML page in the run."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from boostlab.redaction import redact

UNSAFE = re.compile(r"[^\w .,()+=@-]")  # an MLflow server takes a # or % in the name of an artifact as part of an address
TEMPLATES = Path(__file__).with_name("templates")
MOST_CELLS = 256  # whose coloured code is kept for the next page
_rendering = threading.Lock()


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


def preload() -> None:
    """Load what :func:`to_html` needs, ahead of its first use."""
    import nbformat

    output = nbformat.v4.new_output("display_data", {"text/html": "<b>1</b>", "text/plain": "1"})
    cells = [nbformat.v4.new_markdown_cell("# 1"), nbformat.v4.new_code_cell("x = 1", outputs=[output])]
    to_html(nbformat.v4.new_notebook(cells=cells))


def to_html(notebook: Any) -> str:
    """Return a notebook as one HTML page that needs no network: pictures and styles are inside, and no script is loaded."""
    with _rendering:  # an exporter renders one notebook at a time
        page, _ = _make_exporter().from_notebook_node(notebook)
    return str(page)


@cache
def _make_exporter() -> Any:
    """Return nbconvert's exporter with our template; reading the template is slow.

    It remembers the pages' code: that of many notebooks, such as the trials of a sweep, is the same.
    """
    from jinja2 import FileSystemLoader
    from nbconvert import HTMLExporter
    from nbconvert.filters import Highlight2HTML, clean_html

    highlight = lru_cache(MOST_CELLS)(Highlight2HTML(pygments_lexer="ipython3"))

    def highlight_code(source: str, language: str | None = None, metadata: Mapping[str, Any] | None = None) -> str:
        return str(highlight(source, language=(metadata or {}).get("magics_language", language)))

    filters = {"highlight_code": highlight_code, "clean_html": lru_cache(MOST_CELLS)(clean_html)}
    return HTMLExporter(extra_loaders=[FileSystemLoader(TEMPLATES)], template_file="page.html.j2", filters=filters)
