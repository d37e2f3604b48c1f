"""HTML from the templates of this package."""

from __future__ import annotations

from functools import cache
from typing import Any


def render_html(template: str, **values: Any) -> str:
    """Return a template of this package with values filled in, each shown as plain text."""
    return str(_read_templates().get_template(template).render(values))


def preload() -> None:
    """Read all templates ahead of their first use."""
    templates = _read_templates()
    for name in templates.list_templates(["j2"]):
        templates.get_template(name)


@cache
def _read_templates() -> Any:
    from jinja2 import Environment, PackageLoader  # not needed in most headless kernels

    return Environment(loader=PackageLoader("boostlab.display"), autoescape=True)
