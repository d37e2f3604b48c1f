"""Tips over the marks of a figure, in a browser."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.support.executions import Write

from boostlab.comparison.plots import plot_parallel, plot_spread
from boostlab.display.figures import BLUE, finish_axes, make_axes, make_mosaic
from boostlab.display.pictures import draw_picture
from boostlab.display.tips import MOST_CHARACTERS, MOST_LINES, MOST_TIPS, add_tips
from boostlab.notebook.page import to_html
from boostlab.sweep.pareto import plot_pareto
from boostlab.sweep.plots import plot_history
from boostlab.sweep.trial import Objective, Trial

EVIL = "<script>evil()</script> \" ' & $x$"
TRIALS = [Trial(n, {"eta": 0.123456789 * (1 + n), "depth": n}, "complete", (3.0 - n, 1.0 + n)) for n in range(3)]
TWO = [Objective("rmse", "minimize"), Objective("ms", "minimize")]
TITLES = "() => [...document.querySelectorAll('.boostlab-tips i')].map(one => one.title)"


def draw_points(x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> Figure:
    axes = make_axes(3.0)
    axes.plot(x, y, "o", color=BLUE, markersize=9)
    add_tips(axes, x, y, texts)
    return finish_axes(axes, "Points", x="x", y="a long name of an axis")


def read_tips(figure: Figure) -> list[str]:
    return [tip.text for tip in draw_picture(figure).tips]


def show(browser: Any, figure: Figure, width: int) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 500})
    page.set_content(f'<body style="margin: 0">{draw_picture(figure)._repr_mimebundle_()[0]["text/html"]}')
    page.wait_for_function("document.images[0].complete && document.images[0].naturalWidth == 768")
    return page


@pytest.mark.parametrize("width", [900, 400])
def test_a_tip_is_over_its_mark_at_each_width(browser: Any, width: int) -> None:
    page = show(browser, draw_points([0.0, 1.0, 2.0], [5.0, 1.0, 3.0], ["a", EVIL, "c"]), width)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))

    assert page.evaluate(TITLES) == ["a", EVIL, "c"]
    assert page.evaluate("() => document.querySelectorAll('script').length") == 0
    for place in range(3):
        box = page.locator(".boostlab-tips i").nth(place).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        assert tuple(shot[round(y), round(x)]) == pytest.approx((0x00, 0x72, 0xB2), abs=3)
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).title", [x, y]) == ["a", EVIL, "c"][place]


def test_marks_at_one_place_have_one_tip() -> None:
    assert read_tips(draw_points([1.0, 1.0, 1.0, 5.0], [2.0, 2.0, 2.0, 2.0], ["a", "b", "a", "c"])) == ["a\nb", "c"]
    many = [str(number) for number in range(MOST_LINES + 2)]
    assert read_tips(draw_points([1.0] * len(many), [1.0] * len(many), many)) == ["\n".join([*many[:MOST_LINES], "… and 2 more"])]


def test_marks_outside_the_axes_or_without_a_place_have_none() -> None:
    figure = draw_points([1.0, float("nan"), 2.0, 3.0], [1.0, 1.0, float("inf"), 9.0], ["a", "b", "c", "d"])
    figure.axes[0].set_ylim(0, 5)
    assert read_tips(figure) == ["a"]


def test_marks_of_a_part_that_was_cleared_or_removed_have_none() -> None:
    ends: list[Callable[[Figure], object]] = [
        lambda figure: figure.axes[0].clear(),
        lambda figure: figure.axes[0].remove(),
        Figure.clear,
    ]
    for end in ends:
        figure = draw_points([1.0], [1.0], ["a"])
        end(figure)
        assert read_tips(figure) == []


def test_dates_categories_masks_and_subfigures_have_tips() -> None:
    for days in (pd.date_range("2026-01-01", periods=2), [date(2026, 1, 1), date(2026, 1, 2)]):
        axes: Any = make_axes(3.0)
        axes.plot(days, [1.0, 2.0], "o")
        add_tips(axes, days, [1.0, 2.0], ["a", "b"])
        assert read_tips(axes.figure) == ["a", "b"]
    axes = make_axes(3.0)
    axes.plot(["10", "20"], [1.0, 2.0], "o")
    add_tips(axes, ["10", "20"], np.ma.masked_less([1.0, 2.0], 1.5), ["a", "b"])
    assert read_tips(axes.figure) == ["b"]
    figure = Figure()
    halves: Any = figure.subfigures(1, 2)
    axes = halves[1].subplots()
    axes.plot([1.0], [1.0], "o")
    add_tips(axes, [1.0], [1.0], ["a"])
    (tip,) = draw_picture(figure).tips
    assert tip.left > 50 and tip.text == "a"


def test_a_tip_is_short_and_steers_no_display() -> None:
    evil, long = "a\x00b\x1b[31m\u202e\ud800\nc", "x" * 10_000
    first, second = read_tips(draw_points([1.0, 2.0], [1.0, 2.0], [evil, long]))
    assert first.isprintable() and first.startswith("a") and first.endswith("c")
    assert len(second) == MOST_CHARACTERS


def test_refuses_marks_without_a_text() -> None:
    with pytest.raises(ValueError, match="2 x, 2 y and 1 texts: each mark takes one of each"):
        add_tips(make_axes(3.0), [1.0, 2.0], [1.0, 2.0], ["a"])


def test_the_best_of_many_runs_have_tips() -> None:
    draw = np.random.default_rng(0)
    figure = plot_parallel({"eta": list(draw.random(100))}, list(range(100)), metric="rmse", tips=list(map(str, range(100))))
    shown = {line for tip in read_tips(figure) for line in tip.splitlines()}
    assert {str(run) for run in range(10)} <= shown and "60" not in shown


def test_each_panel_gets_its_share_of_the_tips() -> None:
    figure, panels = make_mosaic([["one"], ["two"]], height_in=6.0)
    for name, axes in panels.items():
        places = np.linspace(0, 1, MOST_TIPS)
        axes.plot(places, places % 0.1, "o")
        add_tips(axes, places, places % 0.1, [f"{name} {number}" for number in range(MOST_TIPS)])
    tips = read_tips(figure)
    assert len(tips) <= MOST_TIPS
    assert sum(tip.startswith("one") for tip in tips) == pytest.approx(sum(tip.startswith("two") for tip in tips), abs=1)


def test_ranking_parallel_coordinates_history_and_pareto_front_have_tips() -> None:
    assert read_tips(plot_spread([("eta 0.1", [1.0, 3.0]), ("eta 0.2", [2.0])], metric="test_rmse")) == [
        "eta 0.1: test_rmse 1", "eta 0.1: test_rmse 3", "eta 0.2: test_rmse 2",
    ]  # fmt: skip
    assert set(read_tips(plot_parallel({"eta": [0.1, 0.2]}, [1.0, 2.0], metric="rmse", tips=["first", "second"]))) == {
        "first", "second",
    }  # fmt: skip
    named = [f"trial {n}: rmse {3 - n} · ms {1 + n} · eta {0.123456789 * (1 + n):.4g} · depth {n}" for n in range(3)]
    assert sorted(read_tips(plot_pareto(TRIALS, TWO))) == named
    of_one_metric = [text.replace(f" · ms {1 + n}", "") for n, text in enumerate(named)]
    assert sorted(read_tips(plot_history(TRIALS, TWO[:1]))) == of_one_metric


def test_a_notebooks_page_has_them_too(browser: Any) -> None:
    bundle, metadata = draw_picture(draw_points([1.0], [1.0], [EVIL]))._repr_mimebundle_()
    del bundle["image/png"]
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", bundle, metadata=metadata)])
    page = browser.new_page()
    page.set_content(to_html(nbformat.v4.new_notebook(cells=[cell])))
    assert page.evaluate(TITLES) == [EVIL]


@pytest.mark.slow
def test_jupyterlab_shows_them_in_a_trusted_notebook_and_no_trace_of_them_elsewhere(lab: Any, write_notebook: Write) -> None:
    code = "from boostlab.comparison.plots import plot_spread\nfrom boostlab.display.pictures import draw_picture\n"
    code += "draw_picture(plot_spread([('eta 0.1', [1.0]), ('eta 0.2', [2.0])], metric='rmse'))"
    path = write_notebook(code)
    shown = lab.folder / path.name
    path.rename(shown)
    page = lab.open(path.name)
    page.run_all()
    page.page.locator(".boostlab-tips i").first.wait_for()
    titles = ["eta 0.1: rmse 1", "eta 0.2: rmse 2"]
    assert page.page.evaluate(TITLES) == titles
    box = page.page.locator(".boostlab-tips i").nth(1).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert page.page.evaluate("([x, y]) => document.elementFromPoint(x, y).title", [x, y]) == titles[1]
    page.command("docmanager:save")

    notebook = nbformat.read(shown, as_version=4)
    notebook.metadata.pop("signature", None)
    notebook.cells[1].source += "  # another text than the one that was signed"
    nbformat.write(notebook, lab.folder / "other.ipynb")
    page = lab.open("other.ipynb")
    area = page.page.locator(".jp-OutputArea-output").last
    area.locator("img").wait_for()
    assert area.inner_text().strip() == "" and area.locator("style").count() == 0
    assert {box["width"] for box in (tip.bounding_box() for tip in area.locator("i").all())} <= {0}
    assert area.locator("img").bounding_box()["width"] > 300
