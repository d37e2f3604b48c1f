"""Drift of each column against the holdout of the model: its values, its missing values, and unseen categories.

Drift is the population stability index (PSI), the sum of (p - q) ln(p / q) over bins, less its mean for two samples of one
population. A column has drifted if this is large, and larger than chance allows: the null distribution is that of the same rows,
divided at random into the holdout and the new rows. Only counts are kept, so a file of any length can be compared in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, GREY, ORANGE, REFERENCE, finish_axes, make_axes, shorten_label
from boostlab.evaluation.values import as_numbers
from boostlab.models.contract import Feature
from boostlab.models.predictor import encode_category

BINS = 10  # of the numbers that are not frequent
WORTH_A_LOOK, LARGE = 0.1, 0.25  # PSI; the customary thresholds
FALSE_RATE = 0.05  # how often a file without drift may get a verdict for any of its columns
DRAWS = 99, 999  # of the null distribution: a few, and more if few of them reach the index
MOST_ROWS = 100_000_000  # new rows that count in the null distribution
MAX_BARS = 30
MAX_UNSEEN = 3  # unseen categories that the table names
COLOURS = {"as before": GREY, "worth a look": BLUE, "drifted": ORANGE}

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
                unseen = values[np.isnan(encode_category(values, item))]
                self._unseen[name] |= set(map(str, unseen.unique()[:MAX_UNSEEN]))

    def tabulate(self) -> pd.DataFrame:
        """Return a row for each column, with the largest drift first.

        ``drift`` is the PSI less its mean by chance. ``p`` is adjusted for the number of columns (Benjamini and Hochberg): in a
        file without drift, any column gets a verdict other than *as before* in at most 5 % of cases; in a file with drift, at
        most 5 % of the columns with such a verdict have it by chance.
        """
        from scipy import stats

        found = {name: measure_drift(self._reference[name], self._new[name]) for name in self._features}
        adjusted = stats.false_discovery_control([p for _, p in found.values()])
        rows = []
        for (name, (index, _)), p in zip(found.items(), adjusted, strict=True):
            old, new = self._reference[name], self._new[name]
            unseen_share = new[-2] / max(new.sum(), 1) if self._features[name].type == "category" else 0.0
            examples = f" ({', '.join(sorted(self._unseen[name])[:MAX_UNSEEN])})" if unseen_share else ""
            rows.append(
                {
                    "column": name,
                    "drift": round(index, 3),
                    "p": float(f"{p:.2g}"),
                    "verdict": judge(index, p),
                    "missing before": f"{old[-1] / max(old.sum(), 1):.1%}",
                    "missing now": f"{new[-1] / max(new.sum(), 1):.1%}",
                    "unseen": f"{unseen_share:.1%}{examples}",
                }
            )
        return pd.DataFrame(rows).sort_values("drift", ascending=False, ignore_index=True).set_index("column")

    def _count(self, values: pd.Series, name: str) -> Array:
        """Return the counts per bin; the last bin is for missing values. For a category, the one before is for unseen values."""
        item = self._features[name]
        if item.type == "category":
            known = len(item.categories)
            codes = encode_category(values, item)
            places = np.where(np.isnan(codes), np.where(values.isna(), known + 1, known), codes).astype(int)
            return np.bincount(places, minlength=known + 2)
        numbers = as_numbers(values, item)
        missing = np.isnan(numbers)
        places = np.digitize(numbers[~missing], self._edges[name])
        counts = np.bincount(places, minlength=len(self._edges[name]) + 1)
        return np.append(counts, missing.sum())


def measure_drift(reference: Array, new: Array) -> tuple[float, float]:
    """Return the drift of a column beyond chance, and the probability of a drift as large by chance alone.

    Parameters
    ----------
    reference, new : ndarray of int, shape (n_bins,)
        The number of rows in each bin.

    Returns
    -------
    tuple of float
        The PSI less its mean under the null hypothesis, at least 0, and the p-value of the permutation test.

    Notes
    -----
    Under the null hypothesis, all rows are one sample of which the new rows are a random part. Their counts then have a
    multivariate hypergeometric distribution. 99 draws are made from it, or 999 if fewer than ten of these reach the index. If no
    draw reaches it, the p-value is that of a gamma distribution with the mean and the variance of the draws, at most 1 / 1000.
    """
    from scipy import stats

    if new.sum() > MOST_ROWS:  # numpy draws from less than 10^9 rows
        new = np.rint(new * (MOST_ROWS / new.sum()))
    reference, new = (counts[(reference + new) > 0].astype(int) for counts in (reference, new))
    pooled = reference + new
    if not reference.sum() or not new.sum() or len(pooled) < 2:
        return 0.0, 1.0
    index = stability_index(reference, new)
    draw = np.random.default_rng(0)
    for draws in DRAWS:
        drawn = draw.multivariate_hypergeometric(pooled, int(new.sum()), size=draws, method="marginals")
        null = stability_index(pooled - drawn, drawn)
        reaching = int((null >= index * (1 - 1e-9)).sum())
        if reaching >= 10:
            break
    p = (reaching + 1) / (draws + 1)
    if not reaching:
        p = min(p, stats.gamma.sf(index, null.mean() ** 2 / null.var(), scale=null.var() / null.mean()))
    return max(0.0, float(index - null.mean())), float(p)


def stability_index(reference: Array, new: Array) -> Any:
    """Return the population stability index of counts of shape (…, n_bins); an empty bin counts as half a row."""
    old, now = (np.maximum(counts, 0.5) / counts.sum(axis=-1, keepdims=True) for counts in (reference, new))
    return ((now - old) * np.log(now / old)).sum(axis=-1)


def judge(index: float, p: float) -> str:
    """Return the verdict on a drift beyond chance and its adjusted p-value."""
    if p > FALSE_RATE or index < WORTH_A_LOOK:
        return "as before"
    return "worth a look" if index < LARGE else "drifted"


def plot_drift(table: pd.DataFrame, *, axes: Axes | None = None) -> Figure:
    """Draw a bar for each column's drift, the largest on top, at most 30, with the customary thresholds."""
    shown = table.head(MAX_BARS)[::-1]
    axes = axes or make_axes(1.4 + 0.26 * len(shown))
    for verdict, colour in COLOURS.items():
        axes.barh(range(len(shown)), shown["drift"].where(shown["verdict"] == verdict, 0), color=colour, label=verdict)
    for threshold in (WORTH_A_LOOK, LARGE):
        axes.axvline(threshold, **REFERENCE)
    axes.set_yticks(range(len(shown)), [shorten_label(name) for name in shown.index])
    axes.grid(visible=False, axis="y")
    title = "Drift against the holdout" + (f": the largest {len(shown)} of {len(table)}" if len(shown) < len(table) else "")
    return finish_axes(axes, title, x="population stability index, less its mean by chance")


def _find_edges(values: pd.Series, item: Feature) -> Array:
    """Return the edges of bins: a bin for each frequent value, and bins of equal size for the others.

    A value is frequent if it is in a tenth of the rows, or if it repeats and there are at most ten values.
    """
    numbers = as_numbers(values, item)
    known = numbers[~np.isnan(numbers)]
    distinct, counts = np.unique(known, return_counts=True)
    frequent = distinct[(counts >= len(known) / BINS) | ((len(distinct) <= BINS) & (counts > 1))]
    rest = known[~np.isin(known, frequent)]
    bins = round(BINS * len(rest) / max(len(known), 1))
    inner = np.quantile(rest, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else np.empty(0)
    return np.unique(np.concatenate([frequent, np.nextafter(frequent, np.inf), inner]))
