from __future__ import annotations

import io
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tests.support.colours import contrast, luminance

from boostlab.display.figures import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    LINE_STYLES,
    ORANGE,
    PURPLE,
    WIDTH_IN,
    choose_line,
    finish_axes,
    make_axes,
    make_message,
    make_mosaic,
    name_ticks,
    scale_log,
    shorten_label,
)


@pytest.mark.parametrize("text", ["$x_{$", "a$b$c", "🎉 漢字", "one\ntwo\tthree", "'" * 5000, "\\frac", ""])
def test_draws_any_label(text: str) -> None:
    axes = make_axes(2.0)
    finish_axes(axes, shorten_label(text)).savefig(io.BytesIO(), format="png")

    assert len(shorten_label(text, 10).replace("\\$", "$")) <= 10


def test_distinguishes_as_many_lines_as_there_are_colours_and_styles() -> None:
    count = len(COLOURS) * len(LINE_STYLES)
    assert len({tuple(choose_line(position).values()) for position in range(count)}) == count
    assert choose_line(count) == choose_line(0)


def test_makes_axes_without_a_box_of_one_width() -> None:
    figure, panels = make_mosaic([["a", "b"], ["c", ""]], height_in=4.0)

    assert list(panels) == ["a", "b", "c"]
    assert tuple(figure.get_size_inches()) == (WIDTH_IN, 4.0)
    assert not any(axes.spines[side].get_visible() for axes in panels.values() for side in ("top", "right"))


@pytest.mark.parametrize("colour", [BLUE, ORANGE, GREEN, PURPLE, GREY])
def test_a_colour_stands_out_on_white_and_on_black(colour: str) -> None:
    assert min(contrast(luminance(colour), luminance(ground)) for ground in ("#ffffff", "#111111")) >= 3.0


def test_labels_are_turned_only_where_they_would_overlap() -> None:
    for labels, angle in ((["no", "yes"], 0), (["a label of some length"] * 8, 45)):
        axes = make_axes(2.0)
        name_ticks(axes, labels)
        assert {text.get_rotation() for text in axes.get_xticklabels()} == {angle}


@pytest.mark.parametrize(("low", "high", "labels"), [(0.4, 8.0, ["0.5", "1", "2", "5"]), (0.001, 0.3, ["0.001", "0.01", "0.1"])])
def test_a_logarithmic_scale_has_plain_numbers(low: float, high: float, labels: list[str]) -> None:
    axes = make_axes(2.0)
    axes.plot([low, high], [0, 1])
    scale_log(axes, low, high)
    axes.figure.canvas.draw()
    left, right = axes.get_xlim()
    ticks = zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
    shown = [label.get_text() for label, place in ticks if left <= place <= right]
    assert shown == labels


def test_a_message_is_a_figure() -> None:
    assert [text.get_text() for text in make_message("Nothing to draw.").texts] == ["Nothing to draw."]


def test_a_legend_shows_a_label_that_starts_with_an_underscore() -> None:
    axes = make_axes(2.0)
    axes.plot([0, 1], label=shorten_label("_run"))
    assert [text.get_text().strip() for text in axes.legend().get_texts()] == ["_run"]


def test_breaks_a_label_only_where_no_formula_begins() -> None:
    label = shorten_label("$" * 60, 60, line=48)
    assert label == r"\$" * 48 + "\n" + r"\$" * 12


def test_a_title_is_broken_by_its_measured_width_into_even_lines() -> None:
    narrow, wide = "i" * 20, "W" * 30
    titles = [" ".join([part] * 4) for part in (narrow, wide)]
    lines = [finish_axes(make_axes(2.0), title).axes[0].get_title(loc="left").splitlines() for title in titles]

    assert list(map(len, lines)) == [1, 4] and all(len(set(map(len, part))) == 1 for part in lines)


@pytest.mark.parametrize("columns", [1, 2, 4])
@pytest.mark.parametrize("title", ["word " * 60, "WWWWWWWW " * 22, "two\nlines of a title"])
def test_a_title_stays_over_its_axes(columns: int, title: str) -> None:
    figure, panels = make_mosaic([[str(number) for number in range(columns)]], height_in=12.0)
    finish_axes(panels["0"], title)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    end = panels["0"]._left_title.get_window_extent().x1  # type: ignore[attr-defined]

    assert end <= (panels["1"].bbox.x0 if columns > 1 else figure.bbox.x1)
    assert panels["0"].get_title(loc="left").split() == title.split()


def test_a_title_of_one_long_word_stays_whole() -> None:
    assert finish_axes(make_axes(2.0), "W" * 500).axes[0].get_title(loc="left") == "W" * 500
