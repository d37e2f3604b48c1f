"""Progress of a sweep in a kernel, a terminal and a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient
from tests.support.trials import R2, RMSE, USUAL

from boostlab.display.figures import BLUE, GREY, PURPLE
from boostlab.sweep import progress
from boostlab.sweep.progress import SweepProgress, draw_sweep
from boostlab.sweep.trial import Objective, Trial

SWEEP = """
from boostlab.sweep import progress
from boostlab.sweep.progress import SweepProgress
from boostlab.sweep.trial import Objective
shown = SweepProgress(400, [Objective("best_valid_rmse", "minimize")])
for done in range(1, 401):
    shown.update(done=done, running=2, best=400.0 - done, workers=2)
shown.close()
"""
EAGER = SWEEP.replace("shown =", "progress.INTERVAL_S = progress.LOG_INTERVAL_S = 0.0\nshown =")
HEADLESS = 'import os\nos.environ["BOOSTLAB_JOURNAL"] = "somewhere"\n'
LAST = r"400 of 400 trials · 2 running · best valid_rmse 0 · [\d.]+ s"


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)


def execute(code: str) -> list[nbformat.NotebookNode]:
    """Execute code in a kernel and return its outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    return list(NotebookClient(notebook, timeout=120).execute().cells[0].outputs)


def test_a_log_has_a_line_for_each_tenth_of_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    shown = SweepProgress(1000, [RMSE])
    for done in range(1, 1001):
        shown.update(done=done, best=1000.0 - done)
    shown.close()
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["0", *(f"{100 * n:,}" for n in range(1, 11)), "1,000"]
    assert re.fullmatch(r"100 of 1,000 trials · best valid_rmse 900 · about \d+(\.\d)? s left", lines[1])
    assert re.fullmatch(r"1,000 of 1,000 trials · best valid_rmse 0 · [\d.]+ s", lines[-1])


def test_a_log_of_a_short_sweep_has_two_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 60.0)
    shown = SweepProgress(10, [RMSE])
    for done in range(1, 11):
        shown.update(done=done, best=1.0)
    shown.close()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_shows_no_more_often_than_the_interval(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 1000.0)
    shown = SweepProgress(10, [RMSE])
    for done in range(1, 11):
        shown.update(done=done, best=1.0)
    assert [line[:4] for line in capsys.readouterr().err.splitlines()] == ["0 of", "1 of"]
    shown.close()
    assert capsys.readouterr().err.startswith("10 of 10 trials")


def test_shows_the_states_and_the_time_left_of_all_workers(capsys: pytest.CaptureFixture[str]) -> None:
    shown = SweepProgress(20, [RMSE])
    shown.update(done=5, running=4, pruned=2, failed=1, best=3.5, workers=4, median_s=60.0)
    line = capsys.readouterr().err.splitlines()[-1]  # 8 wait and 4 are half done: 10 times a minute on 4 workers
    assert line == "8 of 20 trials · 4 running · 2 pruned · 1 failed · best valid_rmse 3.5 · about 2 min left"


def test_counts_trials_of_a_study_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    shown = SweepProgress(64, [RMSE])
    shown.show(USUAL, workers=2)
    line = capsys.readouterr().err.splitlines()[-1]
    best = min(trial.values[0] for trial in USUAL if trial.values)
    assert line.startswith(f"32 of 64 trials · 4 pruned · 2 failed · best valid_rmse {best:.4g} · about ")
    assert list(shown._curve.values())[-1] == best


def test_the_last_trials_are_shown_at_the_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 1000.0)
    shown = SweepProgress(32, [RMSE, R2])
    for count in range(1, 33):
        shown.show(USUAL[:count])
    shown.close()
    assert re.match(r"32 of 32 .* best valid_rmse 58.35 · best valid_r2 0.5502", capsys.readouterr().err.splitlines()[-1])


def test_trials_without_a_value_have_no_best(capsys: pytest.CaptureFixture[str]) -> None:
    shown = SweepProgress(3, [RMSE])
    shown.show([Trial(0, {}, "failed"), Trial(1, {}, "running")])
    assert capsys.readouterr().err.splitlines()[-1].startswith("1 of 3 trials · 1 running · 1 failed")


@pytest.mark.slow
def test_a_terminal_has_one_line(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SWEEP], stderr=child, stdout=subprocess.DEVNULL, cwd=tmp_path) as process:
        os.close(child)
        seen = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
    os.close(parent)
    assert process.returncode == 0
    assert seen.count(b"\n") == 1 and seen.startswith(b"\r\x1b[K0 of 400 trials")
    assert re.search(LAST, seen.decode())


@pytest.mark.slow
def test_a_notebook_has_one_output_with_bar_and_curve() -> None:
    (output,) = execute(SWEEP)
    assert re.fullmatch(LAST, output.data["text/plain"])
    assert "<polyline" in output.data["text/html"] and 'aria-valuenow="100"' in output.data["text/html"]


@pytest.mark.slow
def test_a_headless_notebook_has_text_alone() -> None:
    (output,) = execute(HEADLESS + SWEEP)
    assert set(output.data) == {"text/plain"} and re.fullmatch(LAST, output.data["text/plain"])


@pytest.mark.slow
def test_the_log_of_papermill_has_a_line_for_each_tenth(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(HEADLESS + EAGER)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--log-output", "--no-progress-bar"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    lines = [line for line in done.stderr.splitlines() if " of 400 trials" in line]
    assert 10 <= len(lines) <= 13 and "0 of 400" in lines[0]
    assert re.search(LAST, lines[-1])


def test_the_bar_has_a_part_for_each_end_and_the_curve_is_a_step_line() -> None:
    page = draw_sweep({1: 9.0, 3: 5.0}, [RMSE], line="5 of 10 <b>", total=10, done=4, pruned=2, failed=1)
    tree = ElementTree.fromstring(page)
    bar = next(part for part in tree.iter("div") if part.get("role") == "progressbar")
    assert bar.get("aria-valuenow") == "70"
    assert [re.findall(r"width: ([\d.]+%); background: (\S+)", str(part.get("style")))[0] for part in bar] == [
        ("40.00%", BLUE),
        ("20.00%", GREY),
        ("10.00%", PURPLE),
    ]
    (line,) = tree.iter("polyline")
    assert line.get("points") == "0.0,0.0 470.7,0.0 470.7,120.0 706.0,120.0"
    words = {text.text for text in tree.iter("text")}
    assert {"Best valid_rmse so far", "complete trials", "1", "2", "3", "4", "5", "9"} >= words - {"6", "7", "8"}
    assert "5 of 10 &lt;b&gt;" in page


@pytest.mark.parametrize("curve", [{}, {1: 5.0}, {1: float("nan"), 2: float("inf"), 3: 1.0}])
def test_there_is_only_the_bar_without_an_improvement(curve: dict[int, float]) -> None:
    assert "<svg" not in draw_sweep(curve, [RMSE], line="", total=3, done=3, pruned=0, failed=0)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e300])
def test_draws_values_of_any_size(scale: float) -> None:
    curve = {place: scale / place for place in range(1, 1000)}
    page = draw_sweep(curve, [Objective("$ <b>&_", "minimize")], line="", total=1000, done=1000, pruned=0, failed=0)
    ElementTree.fromstring(page)
    assert "nan" not in page and "<b>" not in page and len(page) < 40_000
