"""What each widget must hold in a browser, in each theme and width: nothing overflows, and axe-core finds nothing serious."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

THEMES = ("JupyterLab Light", "JupyterLab Dark")
WIDTHS = (1300, 900)
SETTLE_MS = 1000
# Elements whose content is wider than they are: they cut it or have a scroll bar. An option list and a text box may.
CUT = """selector => [...document.querySelectorAll(`${selector}, ${selector} *`)]
    .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible')
    .filter(one => !one.matches('input, select')).map(one => `${one.className}: ${one.scrollWidth} > ${one.clientWidth}`)"""
BEYOND = """selector => { const edge = document.querySelector(selector).getBoundingClientRect().right;
    return [...document.querySelectorAll(`${selector} *`)]
    .filter(one => one.getClientRects().length && one.getBoundingClientRect().right > edge + 1)
    .map(one => `${one.tagName} ${one.className}`); }"""


def check_everywhere(page: Any, selector: str) -> None:
    """Check a widget, or the first of several, in both themes and at both widths of the window."""
    size = page.page.viewport_size
    for theme in THEMES:
        page.command("apputils:change-theme", theme=theme)
        for width in WIDTHS:
            page.page.set_viewport_size({"width": width, "height": size["height"]})
            page.page.wait_for_function("width => document.querySelector('.jp-Notebook').clientWidth < width", arg=width)
            where = (selector, theme, width)
            for script in (CUT, BEYOND):
                assert (where, _find_settled(page.page, script, selector)) == (where, [])
        assert find_violations(page.page, selector) == []
    page.command("apputils:change-theme", theme=THEMES[0])
    page.page.set_viewport_size(size)


def _find_settled(page: Any, script: str, selector: str) -> list[str]:
    """Return what a script finds once the layout is still: after a change of the window, widgets follow a little later."""
    found, before = page.evaluate(script, selector), None
    while found and found != before:
        page.wait_for_timeout(SETTLE_MS)
        found, before = page.evaluate(script, selector), found
    return list(found)


def find_violations(page: Any, selector: str) -> list[str]:
    """Return what axe-core finds serious or critical in a part of the page."""
    found = Axe().run(page, context=selector).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:200]}" for one in serious for node in one["nodes"]]
