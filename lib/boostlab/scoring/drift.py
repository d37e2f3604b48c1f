"""Drift of each column against the holdout of the model: its values, its missing values, and unseen categories.

Drift is the population stability index (PSI), the sum of (p - q) ln(p / q) over bins: deciles of the reference for numbers and
dates, categories for text. Only counts are kept, so a file of any length can be compared in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, GREY, ORANGE, make_figure
from boostlab.models.contract import Feature
from boostlab.models.predictor import ENCODERS, find_codes, index_categories

BINS = 10
MIN_SHARE = 1e-4  # share of an empty bin: with 0 the index is infinite
WORTH_A_LOOK, LARGE = 0.1, 0.25  # PSI; the customary thresholds
MAX_BARS = 30
MAX_UNSEEN = 3  # unseen categories that the table names

Array = np.ndarray[Any, Any]


class Drift:
    """Counts of a model's features in reference rows, the holdout, and in new rows."""

    def __init__(self, features: Sequence[Feature], reference: pd.DataFrame) -> None:
        self._features = {item.name: item for item in features}
        self._edges = {item.name: _find_edges(reference[item.name], item) for item in features if item.type != "category"}
        self._reference = {name: self._count(reference[name], name) for name in self._features}
        self._new = {name: np.zeros_like(counts) for name, counts in self._reference.items()}
        self._unseen: dict[str, set[str]] = {name: set() for name in self._features}

    def add(self, frame: pd.DataFrame) -> None:
        """Count new rows."""
        for name, item in self._features.items():
            if name not in frame.columns:
                self._new[name][-1] += len(frame)
                continue
            self._new[name] += self._count(frame[name], name)
            if item.type == "category" and len(self._unseen[name]) < MAX_UNSEEN:
                values = frame[name].dropna()
                unseen = values[np.isnan(find_codes(values, index_categories(item)))]
                self._unseen[name] |= set(map(str, unseen.unique()[:MAX_UNSEEN]))

    def tabulate(self) -> pd.DataFrame:
        """Return a row for each column, with the largest drift first."""
        rows = []
        for name, item in self._features.items():
            old, new = self._reference[name], self._new[name]
            index, by_chance = stability_index(old, new), expect_index(old, new)
            unseen_share = new[-2] / max(new.sum(), 1) if item.type == "category" else 0.0
            examples = f" ({', '.join(sorted(self._unseen[name])[:MAX_UNSEEN])})" if unseen_share else ""
            rows.append(
                {
                    "column": name,
                    "drift (PSI)": round(index, 3),
                    "by chance": round(by_chance, 3),
                    "verdict": judge(index, by_chance),
                    "missing before": f"{old[-1] / max(old.sum(), 1):.1%}",
                    "missing now": f"{new[-1] / max(new.sum(), 1):.1%}",
                    "unseen": f"{unseen_share:.1%}{examples}",
                }
            )
        return pd.DataFrame(rows).sort_values("drift (PSI)", ascending=False, ignore_index=True).set_index("column")

    def _count(self, values: pd.Series, name: str) -> Array:
        """Return the counts per bin; the last bin is for missing values. For a category, the one before is for unseen values."""
        item = self._features[name]
        if item.type == "category":
            known = len(item.categories)
            codes = find_codes(values.astype(object).where(values.notna(), None), index_categories(item))
            places = np.where(np.isnan(codes), np.where(values.isna(), known + 1, known), codes).astype(int)
            return np.bincount(places, minlength=known + 2).astype(float)
        numbers = _to_numbers(values, item)
        missing = np.isnan(numbers)
        places = np.digitize(numbers[~missing], self._edges[name])
        counts = np.bincount(places, minlength=len(self._edges[name]) + 1)
        return np.append(counts, missing.sum()).astype(float)


def stability_index(reference: Array, new: Array) -> float:
    """Return the population stability index of two arrays of counts."""
    old = np.maximum(reference / max(reference.sum(), 1), MIN_SHARE)
    now = np.maximum(new / max(new.sum(), 1), MIN_SHARE)
    return float(((now - old) * np.log(now / old)).sum())


def expect_index(reference: Array, new: Array) -> float:
    """Return the mean index of two samples of one population: (bins - 1) (1/n + 1/m), for large samples n and m."""
    bins = int(((reference + new) > 0).sum())
    return float((bins - 1) * (1 / max(reference.sum(), 1) + 1 / max(new.sum(), 1)))


def judge(index: float, by_chance: float) -> str:
    """Return the verdict on an index, after the part that chance explains."""
    beyond = index - by_chance
    if beyond < WORTH_A_LOOK:
        return "as before"
    return "worth a look" if beyond < LARGE else "drifted"


def plot_drift(indices: pd.Series) -> Figure:
    """Draw a bar for each column's index, the largest on top, at most 30, with the customary thresholds."""
    shown = indices.sort_values().tail(MAX_BARS)
    figure, axes = make_figure(1.4 + 0.26 * len(shown))
    axes.barh(shown.index.astype(str), shown, color=BLUE)
    for threshold, colour, verdict in ((WORTH_A_LOOK, GREY, "worth a look"), (LARGE, ORANGE, "drifted")):
        axes.axvline(threshold, color=colour, linestyle=":", label=f"{verdict} from {threshold:g}")
    title = "Drift against the holdout" + (f" (largest {len(shown)} of {len(indices)})" if len(shown) < len(indices) else "")
    axes.set(title=title, xlabel="population stability index")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _find_edges(values: pd.Series, item: Feature) -> Array:
    numbers = _to_numbers(values, item)
    known = numbers[~np.isnan(numbers)]
    return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)


def _to_numbers(values: pd.Series, item: Feature) -> Array:
    feature = replace(item, parts=("days",)) if item.type == "date" else item
    return np.asarray(ENCODERS[item.type](values, feature), np.float64).reshape(len(values))
