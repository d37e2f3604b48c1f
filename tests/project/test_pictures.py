"""All figures are of one family: width, type size, places of title and legend; and nothing in them overlaps or is cut off."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from tests.support.figures import FIGURES

from boostlab.display.figures import TYPE_PT, WIDTH_IN


@pytest.fixture(params=FIGURES, scope="module")
def figure(request: pytest.FixtureRequest) -> Figure:
    made = FIGURES[request.param]()
    canvas: Any = FigureCanvasAgg(made)
    canvas.draw()
    return made


def find_texts(figure: Figure) -> list[Text]:
    """Return the texts that are seen."""
    texts: list[Any] = figure.findobj(
        lambda item: isinstance(item, Text) and item.get_visible() and bool(item.get_text().strip())
    )
    hidden = {id(text) for axes in figure.axes if not axes.axison for text in axes.xaxis.findobj(Text) + axes.yaxis.findobj(Text)}
    ends = {id(text) for axes in figure.axes for text in find_outside_ticks(axes)}
    return [text for text in texts if id(text) not in hidden | ends]


def find_outside_ticks(axes: Any) -> list[Text]:
    """Return the labels of ticks outside the axes' limits, which matplotlib does not draw."""
    found = []
    for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        found += [label for tick in ticks if not low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)]
    return found


def shrink(box: Bbox, pixels: float = 1.0) -> Bbox:
    return Bbox.from_extents(box.x0 + pixels, box.y0 + pixels, box.x1 - pixels, box.y1 - pixels)


def test_has_the_width_and_the_type_size_of_all(figure: Figure) -> None:
    assert figure.get_figwidth() == WIDTH_IN
    assert {text.get_fontsize() for text in find_texts(figure)} == {TYPE_PT}


def test_has_no_legend_over_data(figure: Figure) -> None:
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is None or not axes.axison or not shrink(legend.get_window_extent()).overlaps(axes.get_window_extent())


def test_cuts_no_text_off(figure: Figure) -> None:
    page = Bbox.from_bounds(-1, -1, *(figure.get_size_inches() * figure.dpi + 2))
    for text in find_texts(figure):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()


def test_writes_no_text_over_another(figure: Figure) -> None:
    straight = [text for text in find_texts(figure) if not text.get_rotation() % 90]
    boxes = [(text.get_text(), shrink(text.get_window_extent(), 1.5)) for text in straight]
    over = [(one, other) for (one, box), (other, second) in combinations(boxes, 2) if box.overlaps(second)]
    assert over == []
