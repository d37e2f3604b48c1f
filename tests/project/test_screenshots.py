"""What people see: each notebook and widget in JupyterLab, in both themes and two widths, against pictures that were looked at.

After a change that is meant, ``make test ARGS="tests/project/test_screenshots.py --write-screenshots"`` keeps new pictures. Look
at them before you commit them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFilter
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_breast_cancer
from tests.support.executions import run_here
from tests.support.jupyterlab import CHROMIUM, CHROMIUM_OPTIONS, Lab, Page
from tests.support.paths import PROJECT
from tests.support.screenshots import KEPT, compare, compare_everywhere
from tests.support.stores import NewStore

Change = Callable[[Image.Image], Image.Image]
pytestmark = pytest.mark.xdist_group("screenshots")

SMALL = {"dataset": "breast_cancer", "num_boost_round": 30}
EXECUTED: dict[str, dict[str, Any]] = {
    "train": {**SMALL, "eta": 0.2, "run_name": "second", "details": True, "register_as": "tumours"},
    "sweep": {"space": "quick", "n_trials": 4, "n_jobs": 1, "sampler": "random", "fixed": SMALL, "run_name": "search"},
    "compare": {"run_name": "comparison"},
    "registry": {"model": "tumours", "version": 1, "stage": "production", "reason": "passes every rule", "run_name": "promotion"},
    "deploy": {"model": "tumours", "output": "process", "run_name": "release"},
    "score": {"model": "tumours", "rows": "new.csv", "output": "scored.csv", "run_name": "scoring"},
}
BEFORE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "train": [("train", {**SMALL, "run_name": "first"})],
    "registry": [("registry", {"model": "tumours", "version": 1, "stage": "staging", "run_name": "first promotion"})],
}
ALL_CELLS = {"@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}'}
PANEL_CELLS = (1, 3, 5, 7)  # parameters, run, libraries, panel
TIMES = ", ".join(
    f"img[alt*='{title}']" for title in ("busy for", "stages by version", "Latency of")
)  # drawn by a machine's speed


def _execute(notebook: str, output: Path, values: dict[str, Any], store: str) -> None:
    given = ["-y", json.dumps({"tracking_uri": store, **values})]
    done = run_here(PROJECT / "notebooks" / f"{notebook}.ipynb", output, *given)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def _can_compare() -> None:
    """Skip where no browser can draw the pictures with the font that they were taken with."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: install the system's package `chromium` to run the tests in a browser")
    matcher = shutil.which("fc-match")
    command = [str(matcher), "Helvetica"]  # JupyterLab's first choice
    if not matcher or "DejaVu" not in subprocess.run(command, capture_output=True, text=True, check=False).stdout:
        pytest.skip("the pictures were taken with the font DejaVu Sans: install the system's package `fonts-dejavu-core`")


@pytest.fixture(scope="module")
def work(_can_compare: None, tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Path:
    """Return a folder with a store and ``lab``, which holds the executed notebooks."""
    folder = tmp_path_factory.mktemp("screenshots")
    store = new_store(folder / "store")
    (folder / "lab" / "live").mkdir(parents=True)
    (folder / "lab" / "pyproject.toml").touch()
    load_breast_cancer(as_frame=True).data.head(100).to_csv(folder / "lab" / "new.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "lab")
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setenv("BOOSTLAB_CACHE", str(folder / "cache"))
        patch.setenv("LOGNAME", "kim")  # who did it
        for name, values in EXECUTED.items():
            for notebook, earlier in BEFORE.get(name, []):
                _execute(notebook, folder / "out.ipynb", earlier, store)
            _execute(name, folder / "lab" / f"{name}.ipynb", values, store)
    for name in ("train", "registry", "compare"):
        shutil.copy(PROJECT / "notebooks" / f"{name}.ipynb", folder / "lab" / "live")
    return folder


@pytest.fixture(scope="module")
def lab(work: Path) -> Iterator[Lab]:
    """Return a JupyterLab on the folder, with all cells drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        server = Lab(work / "lab", browser, f"sqlite:///{work}/store/mlflow.db", settings=ALL_CELLS)
        server.start()
        yield server
        server.stop()
        browser.close()


@pytest.fixture
def open_page(lab: Lab) -> Iterator[Callable[[str], Page]]:
    """Return a function that opens a notebook; its window and its kernel end with the test."""
    with contextlib.ExitStack() as pages:
        yield lambda name: pages.enter_context(contextlib.closing(lab.open(name)))


@pytest.fixture
def write(pytestconfig: pytest.Config) -> bool:
    """Return whether the pictures are to be kept as they are now."""
    return bool(pytestconfig.getoption("--write-screenshots"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXECUTED)
def test_an_executed_notebook_looks_as_it_did(open_page: Any, work: Path, name: str, write: bool) -> None:
    assert compare_everywhere(open_page(f"{name}.ipynb"), name, work, hide=TIMES, write=write) == []


@pytest.mark.slow
def test_the_form_looks_as_it_did(open_page: Any, work: Path, write: bool) -> None:
    page = open_page("live/train.ipynb")
    page.run_code("from boostlab import show_form\nshow_form()")
    page.page.wait_for_selector(".boostlab-form")
    assert compare_everywhere(page, "form", work, selector=".boostlab-form", write=write) == []


@pytest.mark.slow
def test_the_panel_looks_as_it_did(open_page: Any, work: Path, write: bool) -> None:
    page = open_page("live/registry.ipynb")
    for position in PANEL_CELLS:
        page.run_cells(position)
    page.page.wait_for_selector(".boostlab-panel")
    assert compare_everywhere(page, "panel", work, selector=".boostlab-panel", write=write) == []


@pytest.mark.slow
def test_the_picker_looks_as_it_did(open_page: Any, work: Path, write: bool) -> None:
    page = open_page("live/compare.ipynb")
    page.run_all()
    assert compare_everywhere(page, "picker", work, selector=".boostlab-picker", write=write) == []


def _erase(left: int, top: int, right: int, bottom: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        changed = picture.copy()
        ground: Any = picture.getpixel((2, picture.height - 3))
        changed.paste(ground, (left, top, right, bottom))
        return changed

    return change


def _recolour(picture: Image.Image) -> Image.Image:
    red, green, blue = picture.split()
    return Image.merge("RGB", (blue, green, red))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("form-light-1300", _erase(335, 225, 490, 250)),  # a slider
        ("form-dark-900", _erase(0, 395, 160, 425)),  # a label
        ("panel-light-1300", _erase(231, 473, 300, 501)),  # a button
        ("panel-light-1300", _erase(0, 445, 260, 462)),  # a checkbox and its label
        ("panel-light-1300", _erase(110, 245, 600, 262)),  # a row of a table
        ("train-dark-1300", _recolour),
        ("train-light-900", lambda picture: ImageChops.offset(picture, 0, 6)),
    ],
)
def test_a_change_of_a_part_is_seen(name: str, change: Change) -> None:
    with Image.open(KEPT / f"{name}.webp") as kept:
        assert "differs most at" in compare(change(kept.convert("RGB")), KEPT / f"{name}.webp")


@pytest.mark.parametrize("name", ["form-dark-900", "train-light-1300"])
def test_letters_drawn_a_little_differently_are_no_change(name: str) -> None:
    with Image.open(KEPT / f"{name}.webp") as kept:
        blurred = kept.convert("RGB").filter(ImageFilter.GaussianBlur(0.7))
        assert compare(ImageChops.offset(blurred, 1, 0), KEPT / f"{name}.webp") == ""
        assert "pixels instead of" in compare(blurred.crop((0, 0, blurred.width, blurred.height - 20)), KEPT / f"{name}.webp")
