from __future__ import annotations

from bs4 import BeautifulSoup

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
