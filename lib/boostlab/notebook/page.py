"""A notebook as one HTML page that needs no network: pictures and styles are inside, and no script is loaded."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import FileSystemLoader
from nbconvert import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML, clean_html
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter

TEMPLATES = Path(__file__).with_name("templates")
MOST_CELLS = 256  # whose coloured code is kept for the next page: that of many notebooks, such as trials of a sweep, is the same
NO_ALT = re.compile(r"<img(?=[\s>])(?![^>]*\salt=)")
FOCUSABLE = re.compile(r'<div class="[^"]*\b(?:jp-Cell-inputWrapper|jp-OutputArea-output)\b[^"]*"(?![^>]*\stabindex=)')
_rendering = threading.Lock()


class PageExporter(HTMLExporter):
    """nbconvert's exporter, which completes the page by text instead of by parsing it: half of the time of a page."""

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        resources = self._init_resources(resources)
        kinds = WidgetsDataTypeFilter(notebook_metadata=self._nb_metadata, parent=self, resources=resources)
        self.register_filter("filter_data_type", kinds)
        page, resources = TemplateExporter.from_notebook_node(self, nb, resources, **kw)
        page = NO_ALT.sub('<img alt="No description has been provided for this image"', page)
        return FOCUSABLE.sub(r'\g<0> tabindex="0"', page), resources


def preload() -> None:
    """Load what :func:`to_html` needs, ahead of its first use."""
    output = nbformat.v4.new_output("display_data", {"text/html": "<b>1</b>", "text/plain": "1"})
    cells = [nbformat.v4.new_markdown_cell("# 1"), nbformat.v4.new_code_cell("x = 1", outputs=[output])]
    to_html(nbformat.v4.new_notebook(cells=cells))


def to_html(notebook: Any) -> str:
    """Return a notebook as one page."""
    with _rendering:  # an exporter renders one notebook at a time
        page, _ = _make_exporter().from_notebook_node(notebook)
    return str(page)


@cache
def _make_exporter() -> PageExporter:
    """Return the exporter with our template; reading the template is slow."""
    highlight = lru_cache(MOST_CELLS)(Highlight2HTML(pygments_lexer="ipython3"))

    def highlight_code(source: str, language: str | None = None, metadata: Mapping[str, Any] | None = None) -> str:
        return str(highlight(source, language=(metadata or {}).get("magics_language", language)))

    filters = {"highlight_code": highlight_code, "clean_html": lru_cache(MOST_CELLS)(clean_html)}
    loaders = [FileSystemLoader(TEMPLATES)]
    return PageExporter(extra_loaders=loaders, template_file="page.html.j2", filters=filters, optimistic_validation=True)
