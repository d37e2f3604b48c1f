"""Sphinx: `make docs` builds the pages without a network. Warnings are errors."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]

project = "boostlab"
author = "the boostlab authors"
release = importlib.metadata.version("boostlab")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # gallery.sh has executed the notebooks
nb_merge_streams = True
suppress_warnings = [
    "mystnb.unknown_mime_type",  # JupyterLab's own types; each output has a plain form besides
    "ref.python",  # two classes of one name in an annotation, each in its own package
]

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
nitpick_ignore_regex = [("py:.*", r"(?!boostlab\b).*")]  # other projects' objects: their inventories are on the network

html_theme = "pydata_sphinx_theme"
html_title = f"boostlab {release}"
html_static_path = ["_static"]
html_css_files = ["boostlab.css"]
html_show_sourcelink = False
html_sidebars = {"changelog": [], "contributing": [], "architecture": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_prev_next": False,
    "secondary_sidebar_items": {name: ["page-toc"] for name in ("guides/*", "api/*", "architecture", "contributing")},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "2026, the boostlab authors"  # noqa: A001  # the name that Sphinx reads


class Parameters(SphinxDirective):
    """A table of a notebook's parameters, read from its parameters cell: ``{parameters} train``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from boostlab.notebook import read_parameters
        from boostlab.notebook.explanation import describe_limits
        from boostlab.notebook.parameters import find_schema

        path = ROOT / "notebooks" / f"{self.arguments[0]}.ipynb"
        self.env.note_dependency(str(path))
        notebook = nbformat.read(path, as_version=4)
        fields = find_schema(notebook).model_fields
        lines = ["| parameter | default | meaning |", "| --- | --- | --- |"]
        for item in read_parameters(notebook):
            limits = describe_limits(item.name, fields[item.name]).replace("<", "&lt;")
            meaning = f"{item.help.replace('<', '&lt;')}{f' ({limits})' if limits else ''}"
            lines.append(f"| `{item.name}: {item.annotation}` | `{item.default!r}` | {meaning} |")
        return self.parse_text_to_nodes("\n".join(lines))


class ServerSettings(SphinxDirective):
    """A table of the lean server's environment variables."""

    def run(self) -> list[nodes.Node]:
        from boostlab.serving.settings import tabulate_settings

        lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | `{default}` | {words} |" for name, default, words in tabulate_settings()]
        return self.parse_text_to_nodes("\n".join(lines))


class Conversions(SphinxDirective):
    """A table of what becomes of values: ``{conversions} json``, ``arrow`` or ``differences``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from boostlab.models import conversion_table as table

        names = [item.name for item in table.FEATURES]
        if self.arguments[0] == "differences":
            rows = [
                [item.way, ", ".join(item.columns), "; ".join(map(spell, item.outcomes.items())), item.reason]
                for item in table.DIFFERENCES
            ]
            return self.parse_text_to_nodes(tabulate(["where", "column", "value, and what becomes of it", "why"], rows))
        found = table.tabulate_json() if self.arguments[0] == "json" else table.tabulate_arrow()
        rows = [[code(row[0]), *("–" if cell == "missing" else code(cell) for cell in row[1:])] for row in found]
        return self.parse_text_to_nodes(tabulate(["value", *names], rows))


class Pictures(SphinxDirective):
    """The figures of a notebook of the gallery, in its order: ``{pictures} train``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = ROOT / "docs" / "gallery" / f"{self.arguments[0]}.ipynb"
        self.env.note_dependency(str(path))
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        pages = [output.get("data", {}).get("text/html", "") for output in outputs]
        return [nodes.raw("", f"<p>{page}</p>", format="html") for page in pages if 'class="boostlab-picture"' in page]


def code(text: str) -> str:
    """Return a value as code; a refusal is no value."""
    return text if text in ("refused", "missing") else f"`` {text} ``"


def spell(pair: tuple[str, str]) -> str:
    """Return a value and what becomes of it."""
    return f"{code(pair[0])} {code(pair[1])}" if pair[1] in ("refused", "missing") else f"{code(pair[0])} is {code(pair[1])}"


def tabulate(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def join_names(_app: Any, _kind: str, _name: str, _found: Any, _options: Any, lines: list[str]) -> None:
    """Write ``a, b : int`` as ``a,b : int``: napoleon takes only one word as the name of an attribute."""
    lines[:] = [re.sub(r"(?<=\w), (?=[\w, ]+ : )", ",", line) for line in lines]


def keep_private(_app: Any, _env: Any, node: nodes.Element, text: nodes.Node) -> nodes.Node | None:
    """Leave a reference to a private name of boostlab unlinked if the name exists; warn if it does not."""
    target = node.get("reftarget", "")
    if not target.startswith("boostlab."):
        return None
    module, rest = target, []
    while module:
        try:
            found = importlib.import_module(module)
            break
        except ImportError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for name in rest:
        found = getattr(found, name, None) or getattr(found, "__dataclass_fields__", {}).get(name)
        if found is None:
            return None
    return text


def setup(app: Any) -> None:
    """Add what the pages use."""
    app.add_directive("parameters", Parameters)
    app.add_directive("server-settings", ServerSettings)
    app.add_directive("conversions", Conversions)
    app.add_directive("pictures", Pictures)
    app.connect("autodoc-process-docstring", join_names, priority=400)  # before napoleon
    app.connect("missing-reference", keep_private)
