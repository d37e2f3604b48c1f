from __future__ import annotations

import re
from typing import Any

import pytest
from bs4 import BeautifulSoup
from tests.support.accessibility import CUT, find_violations

from boostlab.display.tables import Details, Link, Table

TABLE = Table("Runs", ["name", "rmse"], [["<b>$x$</b>", 1.23456], [Link("a", "http://host/"), None]], marked=[1])


def test_shows_every_cell_as_text() -> None:
    page = BeautifulSoup(TABLE._repr_html_(), "html.parser")

    assert [[cell.get_text() for cell in row.find_all("td")] for row in page.find_all("tr")[1:]] == [
        ["<b>$x$</b>", "1.235"],
        ["a", ""],
    ]
    assert "mathjax_ignore" in page.find_all("div")[0]["class"]
    assert page.find_all("a")[0]["href"] == "http://host/"
    assert [row.get("class") for row in page.find_all("tr")] == [None, None, ["marked"]]


def test_shows_a_text_of_any_kind_as_text() -> None:
    evil = "<img src=x onerror=alert(1)> $x$"
    table = Table(evil, [evil, "n"], [[evil, 1], [Link(evil, 'http://h/#/a"b'), None]])
    page = BeautifulSoup(table._repr_html_(), "html.parser")
    assert page.find_all("img") == [] and evil in repr(table)
    assert [item.get_text() for item in page.find_all(["caption", "th", "td"])] == [evil, evil, "n", evil, "1", evil, ""]
    assert page.find_all("a")[0]["href"] == 'http://h/#/a"b'


def test_details_open_on_demand_and_are_text() -> None:
    table = Table("t", ["gate"], [[Details("overridden", ["<b>rule</b>: failed", Link("a", "http://host/")])]])
    page = BeautifulSoup(table._repr_html_(), "html.parser")
    assert [one.get_text() for one in page.select("details:not([open]) > summary")] == ["overridden"]
    assert [one.get_text() for one in page.select("details > div")] == ["<b>rule</b>: failed", "a"]
    assert [one["href"] for one in page.select("details a")] == ["http://host/"]
    assert repr(table).splitlines()[-1] == "overridden (<b>rule</b>: failed; a)"


def test_says_that_it_has_no_rows() -> None:
    table = Table("Models", ["model"], [], empty="<none> yet")
    assert repr(table) == "Models: <none> yet"
    assert "&lt;none&gt; yet" in table._repr_html_()


def test_links_only_to_web_pages() -> None:
    assert "<a" not in Table("t", ["x"], [[Link("a", "javascript:alert(1)")]])._repr_html_()


def test_numbers_have_sensible_digits() -> None:
    cells = repr(Table("t", ["x", "y", "z"], [[61.283088, 123456.78, 20260101]])).splitlines()[-1].split()
    assert cells == ["61.28", "123,457", "20260101"]


def test_is_plain_text_in_a_terminal() -> None:
    assert repr(TABLE) == "Runs\nname        rmse\n<b>$x$</b>  1.235\na"
    assert repr(Table("Runs", ["name"], [])) == "Runs: none"


def test_does_not_steer_a_terminal() -> None:
    assert repr(Table("Runs", ["name"], [["\x1b[31mred\x07"]])).splitlines()[-1] == r"\x1b[31mred\x07"


# Words of cells and headings that are seen on more than one line.
BROKEN = """() => [...document.querySelectorAll('.boostlab-table td, .boostlab-table th')].flatMap(cell => {
    const found = [], walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (node.parentElement.closest('details > div')) continue;
        for (const word of node.data.matchAll(/[^\\s_-]+/g)) {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(word[0]);
        }
    }
    return found; })"""


@pytest.mark.slow
def test_fits_a_narrow_window_and_keeps_words_whole(browser: Any) -> None:
    run, day = Link("train-64d05859", "http://h/"), "2026-11-28 22:30:32"
    versions = ["version", "stage", "test_rmse", "test_r2", "test rows", "age", "run", "image"]
    history = ["when", "version", "from", "to", "how", "who", "why", "gate", "run"]
    ranking = ["rank", "best run", "configuration", "best_valid_rmse", "best_iteration", "fit_time_s", "runs"]
    rows = {
        "versions": (versions, [3, "★ production", 60.26, 0.09686, "a90d1ab7", "48 minutes ago", run, "–"]),
        "history": (
            history,
            [day, 1, "staging", "production", "promote", "ana", "it is " * 30, Details("overridden", [day]), "64d05859"],
        ),
        "ranking": (ranking, [1, run, "eta 0.1 · max_depth 4 · " * 4, 55.7, 18, 1.642, Details("3", [run])]),
    }
    page = browser.new_page()
    for title, (columns, row) in rows.items():
        for width in (468, 548):  # of an output in a window of 900 and of 1000 pixels
            page.set_content(f"<div style='width: {width}px'>{Table(title, columns, [row])._repr_html_()}</div>")
            assert (title, width, page.evaluate(CUT, ".boostlab-table")) == (title, width, [])
            assert (title, page.evaluate(BROKEN)) == (title, [])
    assert page.get_by_role("link").first.bounding_box()["height"] < 30  # one line
    assert find_violations(page, ".boostlab-table") == []


def test_texts_are_on_the_left_without_the_style_sheet_too() -> None:
    html = re.sub(r"(?s)<style>.*?</style>", "", Table("t", ["name", "count"], [["a", 1]])._repr_html_())

    assert re.findall(r"<(caption|th|td)\b([^>]*)>", html) == [
        ("caption", ' style="text-align: left; font-weight: bold"'),
        ("th", ' scope="col" style="text-align: left"'), ("th", ' scope="col" class="number"'),
        ("td", ' class="short" style="text-align: left"'), ("td", ' class="number"'),
    ]  # fmt: skip
