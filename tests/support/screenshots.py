"""Pictures of pages in JupyterLab, and their comparison with those that were looked at once.

What differs from run to run is first replaced on the page: dates, durations, sizes, ids, ports and folders. Both pictures are
then made so small that the letters blur, because a browser's next version draws them a little differently.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KEPT = Path(__file__).parents[2] / "docs" / "screenshots"
SCALE = 4  # of the comparison
BLOCK = 20  # points: each block of so many by so many is compared for itself
MOST_CHANGED = 8  # points of a block; without the text of a button, 15 change, and a line of text has 30 or more
MOST_LEVELS = 64  # of 255 by which a point may differ: letters that are moved by one pixel stay below it
MOST_HEIGHT_PX = 8  # by which the height may differ
QUALITY = 40
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1300, 900)
MARGIN_PX = 300  # of the window around the notebook: toolbars
SETTLE_MS = 400
STYLE = """
.jp-Notebook .jp-InputArea:not(.jp-MarkdownCell .jp-InputArea), .jp-Collapser, .jp-Notebook-footer { visibility: hidden; }
.jp-Notebook .jp-CodeCell .jp-Cell-inputWrapper { display: none; }
*, *::before, *::after { animation: none !important; transition: none !important; caret-color: transparent !important; }
"""
HEIGHT = """selector => { const one = document.querySelector(selector);
    const parts = one.matches('.jp-Notebook') ? one.querySelectorAll('.jp-Cell') : [one];
    return Math.ceil(Math.max(...[...parts].map(part => part.getBoundingClientRect().bottom))
        - one.getBoundingClientRect().top + one.scrollTop); }"""
# What differs each time is replaced by text of one length, so that lines break at the same places.
STEADY = r"""folder => {
    const rules = [
        [new RegExp(folder.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'g'), '/lab'],
        [/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?/g, '2026-01-01 12:00'],
        [/\b\d\d:\d\d(:\d\d)?\b/g, '12:00'],
        [/\b(a|\d+) (second|minute|hour)s? ago\b/g, '1 minute ago'],
        [/127\.0\.0\.1:\d+/g, '127.0.0.1:8000'],
        [/\b(?=\w*[a-f])(?=\w*\d)[0-9a-f]{7,64}\b/g, '0123abcd'],
        [/(?<![\w.-])\d[\d.,]*\s?(ms|s|min|kB|MB|GB|MiB|GiB)\b/g, '1.0 $1'],
        [/\b\d[\d.,]*(?= (rows|requests)\/s)/g, '1,000'],
    ];
    for (const row of document.querySelectorAll('.jp-Notebook tr')) {
        const [first, second] = row.cells;
        if (second && /\((s|ms|requests\/s)\)$/.test(first.textContent)) second.textContent = '1.0';
    }
    for (const head of document.querySelectorAll('.jp-Notebook th')) {
        if (head.textContent !== 'fit_time_s') continue;
        for (const row of head.closest('table').tBodies[0].rows) row.cells[head.cellIndex].textContent = '1.0';
    }
    const walker = document.createTreeWalker(document.querySelector('.jp-Notebook'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        const text = rules.reduce((text, [old, now]) => text.replace(old, now), node.data);
        if (text !== node.data) node.data = text;
    }
}"""


def compare_everywhere(
    page: Any, name: str, folder: Path, *, selector: str = ".jp-Notebook", hide: str = "", write: bool
) -> list[str]:
    """Take the pictures of an element in both themes and widths, and return how they differ from those that are kept.

    Parameters
    ----------
    page : tests.support.jupyterlab.Page
    name : str
        How the names of the pictures begin.
    folder : pathlib.Path
        It gets the pictures that differ. Its name on the page is replaced.
    selector : str, optional
        The element: by default the notebook, with all its outputs and texts and without code.
    hide : str, optional
        Selects elements that differ each time.
    write : bool
        Whether to keep the new pictures instead.
    """
    problems = []
    page.page.add_style_tag(content=STYLE + (f"{hide} {{ visibility: hidden !important; }}" if hide else ""))
    for theme, full_name in THEMES.items():
        page.command("apputils:change-theme", theme=full_name)
        for width in WIDTHS:
            taken = take(page.page, selector, width, folder)
            kept = KEPT / f"{name}-{theme}-{width}.webp"
            if write:
                taken.save(kept, quality=QUALITY, method=6)
            elif problem := compare(taken, kept):
                new = folder / kept.with_suffix(".png").name
                taken.save(new)
                problems.append(f"{kept.name} {problem}: see {new}")
    return problems


def take(page: Any, selector: str, width: int, folder: Path) -> Image.Image:
    """Return a picture of an element in a window of a width in pixels, which is as high as the element needs."""
    page.set_viewport_size({"width": width, "height": MARGIN_PX})
    page.wait_for_function("width => document.querySelector('.jp-Notebook').clientWidth < width", arg=width)
    before, height = 0, page.evaluate(HEIGHT, selector)
    while height != before:  # pictures and widgets follow the window a little later
        page.set_viewport_size({"width": width, "height": height + MARGIN_PX})
        page.evaluate(STEADY, str(folder))
        page.wait_for_timeout(SETTLE_MS)
        before, height = height, page.evaluate(HEIGHT, selector)
    page.mouse.move(0, 0)
    page.evaluate("() => { document.querySelector('.jp-Notebook').scrollTop = 0; }")
    return Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB")


def compare(taken: Image.Image, kept: Path) -> str:
    """Return how a picture differs from the one that is kept; empty if it does not."""
    if not kept.exists():
        return "is not kept yet"
    old = Image.open(kept).convert("RGB")
    if taken.width != old.width or abs(taken.height - old.height) > MOST_HEIGHT_PX:
        return f"has {taken.width} x {taken.height} pixels instead of {old.width} x {old.height}"
    size = taken.width // SCALE, min(taken.height, old.height) // SCALE
    box = (0, 0, size[0] * SCALE, size[1] * SCALE)
    one, other = (np.asarray(image.crop(box).resize(size, Image.Resampling.BOX), np.int16) for image in (taken, old))
    changed = np.abs(one - other).max(axis=2) > MOST_LEVELS
    places = [(row, column) for row in _start_blocks(size[1]) for column in _start_blocks(size[0])]
    counts = {(row, column): int(changed[row : row + BLOCK, column : column + BLOCK].sum()) for row, column in places}
    row, column = max(counts, key=lambda place: counts[place])
    if counts[row, column] <= MOST_CHANGED:
        return ""
    return f"differs most at x = {column * SCALE}, y = {row * SCALE}: in {counts[row, column]} of {BLOCK**2} points"


def _start_blocks(length: int) -> list[int]:
    """Return where blocks begin; the last one ends at the edge."""
    last = max(length - BLOCK, 0)
    return sorted({*range(0, last, BLOCK), last})
