from __future__ import annotations

from bs4 import BeautifulSoup

from boostlab.display.tables import Link, Table

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


def test_links_only_to_web_pages() -> None:
    assert "<a" not in Table("t", ["x"], [[Link("a", "javascript:alert(1)")]])._repr_html_()


def test_is_plain_text_in_a_terminal() -> None:
    assert repr(TABLE) == "Runs\nname        rmse\n<b>$x$</b>  1.235\na"
    assert repr(Table("Runs", ["name"], [])) == "Runs: none"
