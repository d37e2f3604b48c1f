"""A figure as a notebook shows it: readable on any ground, small, and text that stays text."""

from __future__ import annotations

import base64
import io
import re
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from tests.support.colours import contrast, luminance
from tests.support.figures import FIGURES, plot_regression

from boostlab.display.figures import finish_axes, make_axes, make_message, shorten_label
from boostlab.display.pictures import STYLE, Picture, draw_picture

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    r"$\frac$ evil",
    "<script>evil()</script>",
    "</svg><img src=x onerror=evil()>",
    "\x1b[31mevil\x07",
    "a & 'b' \"c\"",
    "]]>",
    "%23#",
]


def draw(title: str = "Gain", *, rows: int = 3) -> Picture:
    axes = make_axes(2.0)
    axes.plot(np.arange(rows), label=shorten_label(title, 60))
    return draw_picture(finish_axes(axes, shorten_label(title, 60), x="round"))


def show(picture: Picture) -> str:
    bundle, _ = picture._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    return str(bundle["text/html"])


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_an_svg_whose_text_has_the_colour_of_the_page(name: str) -> None:
    picture = draw_picture(FIGURES[name]())
    tree = ElementTree.fromstring(picture.svg)
    texts = list(tree.iter(f"{SVG}text"))

    assert tree.get("width") == "576pt" and picture.width == 768
    assert texts and picture.alt
    cells = [text for text in texts if "fill:" in text.get("style", "")]  # counts on coloured cells keep their colour
    assert all(re.search("fill: (#010101|#ffffff)", text.get("style", "")) for text in cells)
    assert "#000000" not in picture.svg
    assert len(picture.svg) < 100_000 and len(picture.png) < 100_000


def test_text_stands_out_on_both_grounds() -> None:
    pairs = re.findall(r"color: (#\w+);.*?background: (#\w+)", STYLE)
    assert len(pairs) == 2
    assert all(contrast(luminance(text), luminance(ground)) >= 4.5 for text, ground in pairs)


def test_the_png_is_on_white() -> None:
    with Image.open(io.BytesIO(draw().png)) as image:
        corner: Any = image.convert("RGB").getpixel((0, 0))
        assert image.width == 1152 and min(corner) >= 254


def test_a_figure_with_a_ground_of_its_own_keeps_it() -> None:
    figure = plt.figure(facecolor="#ffeedd")
    figure.subplots().set_title("mine")
    picture = draw_picture(figure)
    plt.close(figure)
    assert STYLE not in picture.svg and "#ffeedd" in picture.svg and picture.alt == "mine"
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.convert("RGB").getpixel((0, 0)) == pytest.approx((0xFF, 0xEE, 0xDD), abs=2)


def test_many_points_become_one_image() -> None:
    few, many = draw_picture(plot_regression(100)).svg, draw_picture(plot_regression(20_000)).svg
    assert "<image" not in few and "<image" in many
    assert len(many) < 150_000


@pytest.mark.parametrize("text", HOSTILE)
def test_names_stay_text(text: str) -> None:
    picture = draw(text)
    shown = re.sub(r"[\x00-\x1f]", "\ufffd", text)
    texts = ["".join(item.itertext()) for item in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]
    page = BeautifulSoup(show(picture), "html.parser")
    (image,) = page.find_all("img")

    assert texts.count(shown) == 2  # title and legend
    assert {tag.name for tag in page.find_all(True)} == {"style", "img"}
    assert picture.alt == f"{shown} (round)" and image["alt"] == picture.alt
    assert unquote(str(image["src"]).partition(",")[2]) == picture.svg


def test_describes_a_figure_without_a_title_by_its_words() -> None:
    assert draw_picture(make_message("Nothing to draw.")).alt == "Nothing to draw."


@pytest.mark.parametrize("theme", ["true", "false", "unknown"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_in_the_colours_of_the_page(browser: Any, theme: str, scheme: str) -> None:
    """JupyterLab's theme decides; without one, that of the browser."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 900, "height": 400})
    page.set_content(f'<body style="margin: 0" data-jp-theme-light="{theme}">{show(draw())}')
    page.wait_for_function("document.images[0].complete && document.images[0].naturalWidth == 768")
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[:150, :760]
    page.close()
    dark = theme == "false" or (theme == "unknown" and scheme == "dark")
    assert tuple(shot[1, 1]) == ((0x11,) * 3 if dark else (0xFF,) * 3)
    text = shot.reshape(-1, 3).max(axis=0) if dark else shot.reshape(-1, 3).min(axis=0)
    assert contrast(luminance(text / 255), luminance(shot[1, 1] / 255)) >= 4.5


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_jupyterlab_shows_it_in_its_theme_even_where_a_notebook_is_not_trusted(lab: Any, dark: bool) -> None:
    bundle, metadata = draw()._repr_mimebundle_()
    bundle["image/png"] = base64.b64encode(bundle["image/png"]).decode()
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", bundle, metadata=metadata)])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), lab.folder / "shown.ipynb")
    image = lab.open("shown.ipynb", dark=dark).page.locator(".jp-OutputArea img")
    assert (image.count(), image.get_attribute("alt")) == (1, "Gain (round)")
    shot = np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB"))
    assert tuple(shot[0, 0]) == ((0x11,) * 3 if dark else (0xFF,) * 3)
