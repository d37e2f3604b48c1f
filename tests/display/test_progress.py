"""Progress of a training, in JupyterLab and headless."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xgboost as xgb

from boostlab.display import progress
from boostlab.display.figures import BLUE, ORANGE
from boostlab.display.progress import RoundProgress, draw_progress

CURVES = {"train": [3.0, 2.0, 1.0], "valid": [3.0, 2.5, 2.4]}


class Shown:
    """A display of IPython's, as the callback uses it."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.bundles.append(bundle)


def train(monkeypatch: pytest.MonkeyPatch, interval_s: float = 0.0) -> list[dict[str, str]]:
    """Train a little and return what was shown."""
    shown = Shown()
    monkeypatch.setattr(progress, "display", lambda *_, **__: shown)
    monkeypatch.setattr(progress, "INTERVAL_S", interval_s)
    rows = xgb.DMatrix(np.arange(20.0).reshape(-1, 1), np.arange(20.0))
    options: Any = {"evals": [(rows, "train"), (rows, "valid")], "verbose_eval": False, "callbacks": [RoundProgress(5)]}
    xgb.train({}, rows, 5, **options)
    return shown.bundles


def test_says_rounds_time_left_and_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = train(monkeypatch)
    assert len(bundles) == 6
    assert re.fullmatch(r"round 2 of 5 · valid rmse [\d.]+ · at most \d+ s left", bundles[1]["text/plain"])
    assert re.fullmatch(r"round 5 of 5 · valid rmse [\d.]+ · [\d.]+ s", bundles[-1]["text/plain"])


def test_updates_no_more_often_than_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(train(monkeypatch, interval_s=1000.0)) == 1  # the last


def test_is_plain_text_when_headless(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all("text/html" in bundle for bundle in train(monkeypatch))
    monkeypatch.setenv("BOOSTLAB_JOURNAL", "somewhere")
    assert all(set(bundle) == {"text/plain"} for bundle in train(monkeypatch))


def test_draws_both_curves_with_axes_and_labels() -> None:
    page = draw_progress(CURVES, metric="rmse", line="round 3 <of> 9", share=1 / 3)
    tree = ElementTree.fromstring(page)
    lines = {line.get("points"): line for line in tree.iter("polyline")}
    assert list(lines) == ["0.0,0.0 353.0,130.0 706.0,260.0", "0.0,0.0 353.0,65.0 706.0,78.0"]
    assert [(line.get("stroke"), bool(line.get("stroke-dasharray"))) for line in lines.values()] == [
        (BLUE, True),
        (ORANGE, False),
    ]
    words = [text.text for text in tree.iter("text")]
    assert {"Learning curves", "boosting round", "rmse", "train", "valid", "1", "2", "3"} <= set(words)
    bar = next(part for part in tree.iter("div") if part.get("role") == "progressbar")
    assert bar.get("aria-valuenow") == "33"
    assert "round 3 &lt;of&gt; 9" in page


def test_leaves_only_the_line_at_the_end_because_the_figure_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    *during, last = (bundle["text/html"] for bundle in train(monkeypatch))
    assert all("<svg" in page for page in during) and "<svg" not in last
    assert 'aria-valuenow="100"' in last and "round 5 of 5" in last


@pytest.mark.parametrize(
    "values", [[1.0], [2.0, 2.0], list(range(100_000)), [1.0, float("nan"), float("inf"), 3.0], [float("nan")]]
)
def test_draws_any_number_of_rounds(values: list[float]) -> None:
    page = draw_progress({"train": values, "valid": values}, metric="rmse", line="", share=0.5)
    assert "nan" not in page and len(page) < 20_000
