from __future__ import annotations

from boostlab.display.html import render_html
from boostlab.display.tables import Table


def test_shows_values_as_plain_text() -> None:
    page = render_html("table.html.j2", table=Table("<b>a</b> & 'b'", ["x"], []), heads=[], cells=[])
    assert "&lt;b&gt;a&lt;/b&gt; &amp; &#39;b&#39;" in page and "<b>" not in page
