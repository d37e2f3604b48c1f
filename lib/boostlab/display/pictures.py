"""A figure as a notebook shows it: an SVG in the colours of the page around it, and a PNG on white for everything else.

The SVG is shown as an image: nothing inside it can run, load a file or change the page, whatever names it contains.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from boostlab.display.html import render_html
from boostlab.display.tips import Tip, place_tips
from boostlab.notebook.session import is_trial

PX_PER_IN = 96  # of a page
DPI = 144  # of the PNG: many screens have more pixels than a page counts. A trial's PNG has those of the page
STYLE = """<style>
:root { color: #222; fill: currentColor; background: #fff }
@media (prefers-color-scheme: dark) { :root { color: #ddd; background: #111 } }
</style>"""
FONTS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
}  # the SVG holds text; a viewer may lack a font
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
NUMBERS = re.compile(r' (?:d|x|y|transform)="[^"]*"')


@dataclass(frozen=True)
class Picture:
    """A drawn figure; `alt` describes it to those who cannot see it."""

    svg: str  #: empty in a trial of a sweep: hundreds of notebooks that few people open need no second form
    png: bytes
    alt: str
    width: int  #: pixels in a page
    tips: Sequence[Tip] = ()  #: over the marks

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        metadata = {"image/png": {"width": self.width, "alt": self.alt}}
        if not self.svg:
            return {"image/png": self.png, "text/plain": self.alt}, metadata
        svg = quote(self.svg, safe=" =:/;,()'+!*@?&<>")
        page = render_html("picture.html.j2", svg=svg, alt=self.alt, width=self.width, tips=self.tips)
        return {"text/html": page, "image/png": self.png, "text/plain": self.alt}, metadata


def draw_picture(figure: Figure) -> Picture:
    """Draw a figure; one with a transparent ground takes the colours of the page."""
    alt = describe_figure(figure)
    themed = to_rgba(figure.get_facecolor())[3] == 0
    png = _draw_png(figure, dpi=PX_PER_IN if is_trial() else DPI)
    width = round(figure.get_figwidth() * PX_PER_IN)
    if is_trial():
        return Picture("", png, alt, width)
    figure.set_layout_engine("none")  # the layout is done
    tips = place_tips(figure)
    file, canvas = io.StringIO(), FigureCanvasSVG(figure)
    with matplotlib.rc_context(FONTS):
        canvas.print_svg(file, metadata=NO_METADATA)  # type: ignore[no-untyped-call]
    return Picture(_adapt(file.getvalue(), themed=themed), png, alt, width, tips)


def describe_figure(figure: Figure) -> str:
    """Return the titles of a figure's axes and what the axes show, as plain text."""
    parts = []
    for axes in figure.axes:
        title = axes.get_title(loc="left") or axes.get_title()
        names = " by ".join(name for name in (axes.get_ylabel(), axes.get_xlabel()) if name)
        if title:
            parts.append(f"{title} ({names})" if names else title)
    texts = parts or [text.get_text() for text in figure.texts]
    return " ".join("; ".join(texts).replace(r"\$", "$").split())


def _draw_png(figure: Figure, *, dpi: int) -> bytes:
    """Return a PNG of 256 colours on white: a third of the size, and of the time, of one of all colours."""
    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # not savefig, which draws twice
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    on_white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    file = io.BytesIO()
    on_white.quantize(method=Image.Quantize.FASTOCTREE).save(file, "PNG", dpi=(dpi, dpi))
    return file.getvalue()


def _adapt(svg: str, *, themed: bool) -> str:
    """Return an SVG element alone, with two decimals of a point and, if `themed`, in the colours of the page."""
    svg = NUMBERS.sub(lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg[svg.index("<svg") :])
    if themed:
        head, rest = svg.split(">", 1)
        svg = f"{head}>{STYLE}{rest.replace('#000000', 'currentColor')}"
    return " ".join(svg.split())
