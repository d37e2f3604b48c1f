from __future__ import annotations

from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from boostlab.display.markdown import escape, format_code, format_link, format_table

HOSTILE = ["plain", "a`b``c", "`", "a|b", "<b>x</b>", "*a* _b_ [c](d)", r"\`\|", "$x$ and $y$", "# a", "100 %", "🎉", "5" * 5000]


def render(markdown: str) -> BeautifulSoup:
    """Return what nbconvert makes of the Markdown."""
    return BeautifulSoup(markdown2html(markdown), "html.parser")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("write", [escape, format_code, lambda text: format_link(text, "http://host/x")])
def test_shows_any_text_literally(write: Callable[[str], str], text: str) -> None:
    assert render(write(text)).get_text().strip().removesuffix("¶") == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_has_one_row_for_each_name(text: str) -> None:
    page = render(format_table({"first": format_code(text), "second": escape(text), "third": "x"}))

    cells = [[cell.get_text() for cell in row.find_all("td")] for row in page.find_all("tr")[1:]]
    assert cells == [["first", text], ["second", text], ["third", "x"]]


def test_line_breaks_become_spaces() -> None:
    assert (escape("a\nb"), format_code("a\r\n b")) == ("a b", "`a b`")


def test_a_link_leads_to_its_address() -> None:
    (anchor,) = render(format_link("a]b", "http://host/#/a (b)")).find_all("a")
    assert (anchor.get_text(), anchor["href"]) == ("a]b", "http://host/#/a%20%28b%29")


def test_links_only_to_web_pages() -> None:
    assert render(format_link("a", "javascript:alert(1)")).find_all("a") == []
