from __future__ import annotations

import io

import pytest

from boostlab.display.figures import COLOURS, LINE_STYLES, choose_line, make_figure, make_grid, make_message, shorten_label


@pytest.mark.parametrize("text", ["$x_{$", "a$b$c", "🎉 漢字", "one\ntwo\tthree", "'" * 5000, "\\frac", ""])
def test_draws_any_label(text: str) -> None:
    figure, axes = make_figure(2.0)
    axes.set_title(shorten_label(text))
    figure.savefig(io.BytesIO(), format="png")

    assert len(shorten_label(text, 10).replace("\\$", "$")) <= 10


def test_distinguishes_as_many_lines_as_there_are_colours_and_styles() -> None:
    count = len(COLOURS) * len(LINE_STYLES)
    assert len({tuple(choose_line(position).values()) for position in range(count)}) == count
    assert choose_line(count) == choose_line(0)


def test_makes_axes_without_a_box_on_a_grid_of_a_given_size() -> None:
    figure, grid = make_grid(2, 3, height_in=4.0, width_in=9.0)

    assert grid.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (9.0, 4.0)
    assert not any(axes.spines[side].get_visible() for axes in grid.flat for side in ("top", "right"))


def test_a_message_is_a_figure() -> None:
    assert [text.get_text() for text in make_message("Nothing to draw.").texts] == ["Nothing to draw."]


def test_a_legend_shows_a_label_that_starts_with_an_underscore() -> None:
    _, axes = make_figure(2.0)
    axes.plot([0, 1], label=shorten_label("_run"))
    assert [text.get_text().strip() for text in axes.legend().get_texts()] == ["_run"]


def test_breaks_a_label_only_where_no_formula_begins() -> None:
    label = shorten_label("$" * 60, 60, line=48)
    assert label == r"\$" * 48 + "\n" + r"\$" * 12
