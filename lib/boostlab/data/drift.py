"""Drift of each column from reference rows to new ones: its values, its missing values, and unseen categories.

Drift is the population stability index (PSI), the sum of (p - q) ln(p / q) over bins, less its mean for two samples of one
population. A column has drifted if this is large, and larger than chance allows: the null distribution is that of the same rows,
divided at random into reference and new rows. Only counts are kept, so a file of any length can be compared in chunks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.values import as_numbers
from boostlab.models.contract import Feature
from boostlab.models.predictor import encode_category

BINS = 10  # of the numbers that are not frequent
WORTH_A_LOOK, LARGE = 0.1, 0.25  # PSI; the customary thresholds
FALSE_RATE = 0.05  # how often a file without drift may get a verdict for any of its columns
DRAWS = 99, 999  # of the null distribution: a few, and more if few of them reach the index
MOST_ROWS = 100_000_000  # new rows that count in the null distribution
MAX_UNSEEN = 3  # unseen categories that the table names

Array = np.ndarray[Any, Any]
Draw = Callable[[int], Array]  # the number of draws in, counts of new rows by chance out, shape (n_draws, n_bins)


@dataclass(frozen=True)
class Counts:
    """What is known of some new rows; it can come from another process."""

    rows: dict[str, Array]  #: in each bin of each column
    unseen: dict[str, tuple[str, ...]]  #: a few of the categories that training did not see


class Drift:
    """Counts of a model's features in reference rows, such as the holdout, and in new rows."""

    def __init__(self, features: Sequence[Feature], reference: pd.DataFrame) -> None:
        self._features = {item.name: item for item in features}
        self._edges = {item.name: _find_edges(reference[item.name], item) for item in features if item.type != "category"}
        self._reference = self.count(reference).rows
        self.clear()

    def clear(self) -> None:
        """Forget the new rows."""
        self._new = {name: np.zeros_like(counts) for name, counts in self._reference.items()}
        self._unseen: dict[str, set[str]] = {name: set() for name in self._features}

    @property
    def identity(self) -> str:
        """What tells these bins and reference rows from others: counts of new rows fit only the same ones."""
        facts = [(name, list(self._edges.get(name, ())), counts.tolist()) for name, counts in self._reference.items()]
        return hashlib.sha256(repr((self._features, facts)).encode()).hexdigest()

    def count(self, frame: pd.DataFrame) -> Counts:
        """Return the counts of rows; those of a column that they lack are missing values."""
        rows, unseen = {}, {}
        for name, item in self._features.items():
            known = len(item.categories) if item.type == "category" else len(self._edges[name])
            if name not in frame.columns:
                rows[name] = np.bincount([known + 1], minlength=known + 2) * len(frame)
                continue
            places = self.place(frame[name], name)
            rows[name] = np.bincount(places, minlength=known + 2)
            if item.type == "category" and rows[name][known]:
                unseen[name] = tuple(map(str, frame[name][places == known].unique()[:MAX_UNSEEN]))
        return Counts(rows, unseen)

    def add(self, counts: Counts) -> None:
        """Add the counts of new rows."""
        for name in self._features:
            self._new[name] += counts.rows[name]
            if len(self._unseen[name]) < MAX_UNSEEN:
                self._unseen[name] |= set(counts.unseen.get(name, ()))

    def tabulate(self, draws: Callable[[str], Draw] | None = None) -> pd.DataFrame:
        """Return a row for each column, with the largest drift first.

        `draws` returns how chance draws the new rows' counts of a column; without it, rows are drawn one by one.

        ``drift`` is the PSI less its mean by chance. ``p`` is adjusted for the number of columns (Benjamini and Hochberg): in a
        file without drift, any column gets a verdict other than *as before* in at most 5 % of cases; in a file with drift, at
        most 5 % of the columns with such a verdict have it by chance.
        """
        from scipy import stats

        found = {
            name: measure_drift(self._reference[name], self._new[name], draws(name) if draws else None) for name in self._features
        }
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

    def place(self, values: pd.Series, name: str) -> Array:
        """Return the bin of each row; the last one is for missing values. For a category, the one before is for unseen values."""
        item = self._features[name]
        if item.type == "category":
            known = len(item.categories)
            codes = encode_category(values, item)
            return np.where(np.isnan(codes), np.where(values.isna(), known + 1, known), codes).astype(int)
        numbers, edges = as_numbers(values, item), self._edges[name]
        return np.where(np.isnan(numbers), len(edges) + 1, np.digitize(numbers, edges))

    def counts(self, name: str) -> Array:
        """Return the reference rows in each bin of a column."""
        return self._reference[name]


def measure_drift(reference: Array, new: Array, draw: Draw | None = None) -> tuple[float, float]:
    """Return the drift of a column beyond chance, and the probability of a drift as large by chance alone.

    Parameters
    ----------
    reference, new : ndarray of int, shape (n_bins,)
        The number of rows in each bin.
    draw : Draw, optional
        How chance draws the counts of the new rows, if not row by row.

    Returns
    -------
    tuple of float
        The PSI less its mean under the null hypothesis, at least 0, and the p-value of the permutation test.

    Notes
    -----
    Under the null hypothesis, all rows are one sample of which the new rows are a random part. Their counts then have a
    multivariate hypergeometric distribution. 99 draws are made from it, or 999 if fewer than ten of these reach the index. If no
    draw reaches it, the p-value is that of a gamma distribution with the mean and the variance of the draws, at most 1 / 1000.
    Draws of whole groups have another distribution: there it is 1 / 1000.
    """
    from scipy import stats

    if new.sum() > MOST_ROWS:  # numpy draws from less than 10^9 rows
        new = np.rint(new * (MOST_ROWS / new.sum()))
    used = (reference + new) > 0
    reference, new = (counts[used].astype(int) for counts in (reference, new))
    pooled = reference + new
    if not reference.sum() or not new.sum() or len(pooled) < 2:
        return 0.0, 1.0
    index = stability_index(reference, new)
    generator = np.random.default_rng(0)
    for draws in DRAWS:
        if draw:
            drawn = draw(draws)[:, used]
        else:
            drawn = generator.multivariate_hypergeometric(pooled, int(new.sum()), size=draws, method="marginals")
        null = stability_index(pooled - drawn, drawn)
        reaching = int((null >= index * (1 - 1e-9)).sum())
        if reaching >= 10:
            break
    p = (reaching + 1) / (draws + 1)
    if not reaching and not draw:  # rows one by one
        p = min(p, stats.gamma.sf(index, null.mean() ** 2 / null.var(), scale=null.var() / null.mean()))
    return max(0.0, float(index - null.mean())), float(p)


def stability_index(reference: Array, new: Array) -> Any:
    """Return the population stability index of counts of shape (…, n_bins); an empty bin counts as half a row."""
    old, now = (np.maximum(counts, 0.5) / counts.sum(axis=-1, keepdims=True) for counts in (reference, new))
    return ((now - old) * np.log(now / old)).sum(axis=-1)


def compare_parts(
    features: Sequence[Feature], before: pd.DataFrame, after: pd.DataFrame, groups: Array | None = None
) -> pd.DataFrame:
    """Return the drift of each column from some rows to others, the largest first: see :meth:`Drift.tabulate`.

    Parameters
    ----------
    groups : ndarray of int, shape (n_before + n_after,), optional
        The number of each row's group. No group is in both. Chance draws groups as a whole.
    """
    drift = Drift(features, before)
    drift.add(drift.count(after))
    if groups is None:
        return drift.tabulate()
    is_new = np.bincount(groups[len(before) :], minlength=groups.max() + 1) > 0

    def draw(name: str) -> Draw:
        places = np.concatenate([drift.place(frame[name], name) for frame in (before, after)])
        return partial(_draw_groups, groups, places, is_new=is_new, bins=len(drift.counts(name)))

    return drift.tabulate(draw)


def _draw_groups(groups: Array, places: Array, draws: int, *, is_new: Array, bins: int) -> Array:
    """Return the counts of new rows, shape (n_draws, n_bins), if chance chose the groups that are new."""
    from scipy import sparse

    counts = sparse.csr_array((np.ones(len(groups)), (groups, places)), shape=(len(is_new), bins))
    chosen = np.random.default_rng(0).permuted(np.tile(is_new, (draws, 1)), axis=1)
    return np.asarray(chosen.astype(float) @ counts)


def judge(index: float, p: float) -> str:
    """Return the verdict on a drift beyond chance and its adjusted p-value."""
    if p > FALSE_RATE or index < WORTH_A_LOOK:
        return "as before"
    return "worth a look" if index < LARGE else "drifted"


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
