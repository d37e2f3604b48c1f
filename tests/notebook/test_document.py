from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image as Picture
from tests.support.colours import contrast, luminance

from boostlab.display.figures import finish_axes, make_axes
from boostlab.display.pictures import draw_picture
from boostlab.notebook.document import is_lab_notebook, name_notebook, stage_notebook
from boostlab.notebook.page import to_html

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def make_notebook() -> nbformat.NotebookNode:
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": "A <dot>", "width": 7}})
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("answer = 42", outputs=[picture])]
    return nbformat.v4.new_notebook(cells=cells, metadata={"boostlab": {}})


@pytest.mark.parametrize(("metadata", "ours"), [({"boostlab": {}}, True), ({"papermill": {}}, False)])
def test_knows_its_notebooks_by_their_metadata(metadata: dict[str, object], ours: bool) -> None:
    assert is_lab_notebook(nbformat.v4.new_notebook(metadata=metadata)) is ours


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("notebooks/train.ipynb", "train"),
        (Path("/a/my.train.ipynb"), "my.train"),
        ("s3://bucket/train.ipynb", "train"),
        ("-", "notebook"),
        (None, "notebook"),
    ],
)
def test_names_a_notebook_by_its_path(source: object, name: str) -> None:
    assert name_notebook(source) == name


def test_stages_a_document_with_its_page(tmp_path: Path) -> None:
    notebook = make_notebook()
    files = stage_notebook(notebook, "train", tmp_path)

    assert files == tmp_path / "files"
    assert {path.name for path in (files / "notebook").iterdir()} == {"train.html", "train.ipynb"}
    assert nbformat.read(files / "notebook" / "train.ipynb", as_version=4) == notebook
    assert "answer" in (files / "notebook" / "train.html").read_text(encoding="utf-8")


def test_stages_a_file(tmp_path: Path) -> None:
    nbformat.write(make_notebook(), tmp_path / "on-disk.ipynb")
    files = stage_notebook(tmp_path / "on-disk.ipynb", "train", tmp_path)

    assert (files / "notebook" / "train.ipynb").read_bytes() == (tmp_path / "on-disk.ipynb").read_bytes()
    assert (files / "notebook" / "train.html").is_file()


@pytest.mark.parametrize("text", ['{"cells": [', "", '{"nbformat": 4, "nbformat_minor": 5}'])
def test_keeps_a_file_that_cannot_be_read_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "cut.ipynb").write_text(text)
    files = stage_notebook(tmp_path / "cut.ipynb", "train", tmp_path)

    assert (files / "notebook" / "train.ipynb").read_text() == text


def test_makes_a_page_that_fetches_nothing() -> None:
    page = to_html(make_notebook())

    assert re.findall(r"<(?:script|link|iframe)\b[^>]*>", page) == []
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//|@import|url\(\s*[\"']?https?:", page) == []


def test_shows_pictures_inside_the_page_with_their_description() -> None:
    page = to_html(make_notebook())

    assert f'src="data:image/png;base64,{PIXEL}"' in page
    assert 'alt="A &lt;dot&gt;"' in page
    assert 'width="7"' in page


def test_a_page_can_be_read_by_keyboard_and_aloud() -> None:
    html = nbformat.v4.new_output("display_data", {"text/html": '<img src="data:,"><img alt="mine" src="data:,"> a > b'})
    text = nbformat.v4.new_output("stream", text='<div class="jp-OutputArea-output"><img>')
    cell = nbformat.v4.new_code_cell("x", outputs=[html, text])
    page = BeautifulSoup(to_html(nbformat.v4.new_notebook(cells=[cell])), "html.parser")
    assert [image["alt"] for image in page.find_all("img")] == ["No description has been provided for this image", "mine"]
    areas = page.select(".jp-Notebook div.jp-Cell-inputWrapper, .jp-Notebook div.jp-OutputArea-output")
    assert len(areas) == 3 and all(area["tabindex"] == "0" for area in areas)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_the_colours_that_the_browser_asks_for(browser: Any, scheme: str) -> None:
    figure = draw_picture(finish_axes(make_axes(2.0), "Gain"))
    bundle, metadata = figure._repr_mimebundle_()
    bundle["image/png"] = PIXEL
    cell = nbformat.v4.new_code_cell("x = 1", outputs=[nbformat.v4.new_output("display_data", bundle, metadata=metadata)])
    page = browser.new_page(color_scheme=scheme)
    page.set_content(to_html(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("words")])))
    image = page.locator("img")
    assert (image.count(), image.get_attribute("alt")) == (1, "Gain")
    picture = np.asarray(Picture.open(io.BytesIO(image.screenshot())).convert("RGB"))
    whole = np.asarray(Picture.open(io.BytesIO(page.screenshot())).convert("RGB"))
    words = page.evaluate("getComputedStyle(document.querySelector('.jp-RenderedMarkdown')).color")
    page.close()
    assert tuple(picture[0, 0]) == tuple(whole[-1, -1]) == ((0x11,) * 3 if scheme == "dark" else (0xFF,) * 3)  # no slab
    text = [int(part) / 255 for part in re.findall(r"\d+", words)[:3]]
    assert contrast(luminance(text), luminance(whole[-1, -1] / 255)) >= 4.5


def test_keeps_a_notebook_whose_page_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = {"output_type": "display_data", "data": {"text/markdown": 5}, "metadata": {}}  # which nbconvert fails on
    cell = {"cell_type": "code", "source": "1", "metadata": {}, "execution_count": 1, "id": "a1", "outputs": [output]}
    notebook = nbformat.from_dict({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})

    files = stage_notebook(notebook, "odd", tmp_path)

    assert [path.name for path in (files / "notebook").iterdir()] == ["odd.ipynb"]
    assert "odd.ipynb cannot be rendered as HTML" in caplog.text
