"""The figure of a file's drift shows what its table says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.drift import Drift
from boostlab.models.contract import Feature
from boostlab.scoring.plots import MAX_BARS, plot_drift


def make_table() -> Any:
    """Return the drift of three columns, the last of which stays as it was."""
    draw = np.random.default_rng(0)
    names = ["much", "little", "none"]
    drift = Drift([Feature(name, "number", "double") for name in names], pd.DataFrame(draw.normal(size=(2000, 3)), columns=names))
    drift.add(drift.count(pd.DataFrame(draw.normal([1, 0.35, 0.1], size=(2000, 3)), columns=names)))
    return drift.tabulate()


def test_draws_what_the_table_says() -> None:
    table = make_table()
    axes = plot_drift(table).axes[0]
    drawn: dict[str, tuple[Any, float]] = {}
    names = [label.get_text() for label in axes.get_yticklabels()]
    for container in axes.containers:
        for name, bar in zip(names, container, strict=True):
            if bar.get_width():
                drawn[name] = container.get_label(), round(bar.get_width(), 3)
    told = {str(name): (row["verdict"], row["drift"]) for name, row in table.iterrows() if row["drift"]}

    assert drawn == told and len(told) >= 3
    assert [np.asarray(line.get_xdata())[0] for line in axes.lines] == [0.1, 0.25]


def test_draws_the_largest_drifts() -> None:
    frame = pd.DataFrame({"drift": [number / 100 for number in range(40, 0, -1)], "verdict": "as before"})
    axes = plot_drift(frame.rename(lambda place: f"column {place}")).axes[0]

    assert axes.get_yticklabels()[-1].get_text() == "column 0" and len(axes.get_yticklabels()) == MAX_BARS
    assert axes.get_title(loc="left") == "Drift against the holdout: the largest 30 of 40"


def test_draws_the_name_of_any_column_as_text() -> None:
    figure = plot_drift(pd.DataFrame({"drift": [0.1], "verdict": ["as before"]}, index=[r"$\frac$"]))
    figure.savefig(io.BytesIO())
    assert figure.axes[0].get_yticklabels()[0].get_text() == r"\$\frac\$"
