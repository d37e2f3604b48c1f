"""Checks of a table that make a run's results doubtful: label conflicts, telling gaps, and drift between the parts.

Conflicts and gaps are judged on the training rows alone. Each finding is one sentence or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from scipy import stats

from boostlab.data.chance import ALPHA, correct_holm, find_units, space_rows
from boostlab.data.columns import Columns
from boostlab.data.drift import LARGE, compare_parts
from boostlab.data.duplicates import COARSE, Duplicates, hash_columns
from boostlab.data.splits import Part, Split
from boostlab.data.table import to_series
from boostlab.display.numbers import format_number

MOST_ROWS = 20_000  # of a part, for gaps and drift
MOST_FINDINGS = 3  # of each kind
FEWEST = 10  # rows with and without a gap, and rows of a class
LARGE_GAP = 0.2  # difference of shares, or rank correlation, between rows with and without a gap
CHANGED_GAPS = 5.0  # per cent of the rows: more is worth a word
LOST_EVENTS = 0.01  # of the rows of all classes but the largest, as many as equal rows make any model get wrong
FEWEST_REPEATS = 30  # rows that repeat an earlier one: fewer do not tell how the target varies
LARGE_FLOOR = 0.1  # of the target's standard deviation

Array = np.ndarray[Any, Any]


def check_data(split: Split, columns: Columns) -> list[str]:
    """Return a sentence on each doubt about the data: label conflicts, gaps that tell the target, columns that have drifted."""
    return [*find_conflicts(split.train, columns), *find_gaps(split.train, columns), *find_drift(split, columns)]


def find_conflicts(train: Part, columns: Columns) -> Iterator[str]:
    """Yield a sentence if training rows with equal features have targets that differ, by enough to matter.

    Where more than twenty rows are equal, columns have few values, and equal rows are different cases: these are not judged.
    """
    names = [feature.name for feature in columns.features]
    code = Duplicates.of(hash_columns(train.table, names)[train.rows]).code
    is_case = np.bincount(code)[code] > COARSE
    sets = Duplicates.of(np.where(is_case, len(code) + np.arange(len(code)), code))
    if len(sets):
        judge = _describe_classes if train.table.task == "classification" else _describe_spread
        yield from judge(train, sets.code)


def _describe_classes(train: Part, code: Array) -> Iterator[str]:
    weight = np.ones(len(train)) if train.weight is None else train.weight.astype(float)
    classes = pd.factorize(train.target)[0]
    pairs, inverse = np.unique(code * (classes.max() + 1) + classes, return_inverse=True)
    pair_sets, pair_weights = pairs // (classes.max() + 1), np.bincount(inverse, weights=weight)
    best = np.zeros(code.max() + 1)
    np.maximum.at(best, pair_sets, pair_weights)
    right = best.sum() / weight.sum()
    events = 1 - np.bincount(classes, weights=weight).max() / weight.sum()
    if 1 - right < LOST_EVENTS * events or right > 1 - 1e-9:
        return
    rows = int((np.bincount(pair_sets) > 1)[code].sum())
    yield (
        f"{rows:,} of {len(train):,} training rows equal a row of another class in all columns of the model. "
        f"On the training rows, its accuracy can be {format_number(100 * right)}% at most. "
        "Check the labels, or add a column that tells these rows apart."
    )


def _describe_spread(train: Part, code: Array) -> Iterator[str]:
    target = train.target.to_numpy(float)
    counts = np.bincount(code)
    repeats = len(code) - len(counts)
    mean = np.bincount(code, weights=target) / counts
    floor = float((((target - mean[code]) ** 2).sum() / repeats) ** 0.5)
    if repeats < FEWEST_REPEATS or floor <= LARGE_FLOOR * target.std():
        return
    yield (
        f"{int((counts > 1)[code].sum()):,} of {len(train):,} training rows equal another row in all columns of the model. "
        f"Among equal rows, {train.target.name!r} has a standard deviation of {format_number(floor)}: "
        "on such rows no RMSE is smaller. Add a column that tells them apart."
    )


def find_gaps(train: Part, columns: Columns) -> list[str]:
    """Return a sentence on the columns whose missing values tell the target most, at most three.

    Classes are judged by Fisher's exact test of the class whose share of gaps differs most, quantities by the test of Mann and
    Whitney. Of each group one row counts, as its rows depend on each other. The p-values are corrected for the number of columns
    by Holm's method. Columns that are missing in the same rows are judged once.
    """
    names = [profile.name for profile in columns.profiles if profile.feature and profile.missing > 0]
    rows = _take_independent(train) if names else np.empty(0, int)
    if len(rows) < 2 * FEWEST:
        return []
    data, target = train.table.take(names, train.rows[rows]), train.target.iloc[rows]
    together: dict[bytes, list[str]] = {}
    for name in names:
        gaps = pc.is_null(data.column(name), nan_is_null=True).to_numpy()
        if FEWEST <= gaps.sum() <= len(gaps) - FEWEST:
            together.setdefault(gaps.tobytes(), []).append(name)
    judge = _compare_classes if train.table.task == "classification" else _compare_quantities
    found = [judge(np.frombuffer(gaps, bool), target, same) for gaps, same in together.items()]
    certain = correct_holm(np.array([p for _, p, _ in found])) < ALPHA
    large = [(effect, text) for (effect, _, text), sure in zip(found, certain, strict=True) if sure and effect >= LARGE_GAP]
    return [text for _, text in sorted(large, reverse=True)[:MOST_FINDINGS]]


def _take_independent(train: Part) -> Array:
    """Return the positions in the part of at most 20,000 rows with a weight, one of each group."""
    chosen = space_rows(train, MOST_ROWS)
    if not train.table.roles.group:
        return chosen
    return chosen[np.unique(find_units(train.table, train.rows[chosen]), return_index=True)[1]]


def _compare_classes(gaps: Array, target: pd.Series, names: list[str]) -> tuple[float, float, str]:
    """Return by how much the share of gaps differs between a class and the others, its p-value, and a sentence."""
    codes, labels = pd.factorize(target)
    rows, missing = np.bincount(codes), np.bincount(codes, weights=gaps).astype(int)
    others, others_missing = len(gaps) - rows, gaps.sum() - missing
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = missing / rows, others_missing / others
    effects = np.where((rows >= FEWEST) & (others >= FEWEST), np.abs(inside - outside), 0.0)
    place = int(effects.argmax())
    counts = [[missing[place], rows[place] - missing[place]]]
    counts += [[others_missing[place], others[place] - others_missing[place]]]
    tests = len(rows) if len(rows) > 2 else 1
    p = min(1.0, tests * float(stats.fisher_exact(counts).pvalue))
    label = labels.tolist()[place]
    text = f"missing in {inside[place]:.0%} of the training rows of class {label!r} and in {outside[place]:.0%} of the others."
    return float(effects[place]), p, _describe_gaps(names, text, target)


def _compare_quantities(gaps: Array, target: pd.Series, names: list[str]) -> tuple[float, float, str]:
    """Return the rank correlation of gaps and target, its p-value, and a sentence."""
    sides = target.to_numpy(float)[gaps], target.to_numpy(float)[~gaps]
    test = stats.mannwhitneyu(*sides)
    effect = abs(2 * test.statistic / (len(sides[0]) * len(sides[1])) - 1)
    inside, outside = (format_number(float(np.median(side))) for side in sides)
    text = f"missing where {target.name!r} has a median of {inside}; in the other training rows it is {outside}."
    return float(effect), float(test.pvalue), _describe_gaps(names, text, target)


def _describe_gaps(names: list[str], text: str, target: pd.Series) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    are, filled = ("are", "they are") if more else ("is", "it is")
    subject = f"The columns {names[0]!r}{more}" if more else f"The column {names[0]!r}"
    return f"{subject} {are} {text} If {filled} filled in after {target.name!r} is known, leave {'them' if more else 'it'} out."


def find_drift(split: Split, columns: Columns) -> list[str]:
    """Return a sentence on the columns that have drifted most from the training to the test part, at most three.

    Groups are drawn as a whole. A random split without groups has no drift but by chance: it is not measured.
    """
    table, name = split.train.table, split.train.table.roles.group
    if not (split.times or name or table.test_rows):
        return []
    rows = [part.rows[space_rows(part, MOST_ROWS)] for part in (split.train, split.test)]
    names = [feature.name for feature in columns.features]
    before, after = (pd.concat(table.batches(names, chosen), ignore_index=True) for chosen in rows)
    groups = [to_series(table.take([name], chosen), name) for chosen in rows] if name else []
    found = compare_parts(columns.features, before, after, pd.factorize(pd.concat(groups))[0] if name else None)
    drifted = found[found["verdict"] == "drifted"].head(MOST_FINDINGS)
    return [_describe_drift(row) for row in drifted.reset_index().to_dict(orient="records")]


def _describe_drift(row: dict[Any, Any]) -> str:
    text = (
        f"The column {row['column']!r} has drifted from the training to the test part: "
        f"PSI {format_number(row['drift'])}, and {LARGE} is large."
    )
    before, now = row["missing before"], row["missing now"]
    if abs(float(now[:-1]) - float(before[:-1])) >= CHANGED_GAPS:
        text += f" It is missing in {before} of the training rows and in {now} of the test rows."
    if float(row["unseen"].partition("%")[0]) >= CHANGED_GAPS:
        text += f" Of the test rows, {row['unseen']} have a category that the model does not know."
    return text
