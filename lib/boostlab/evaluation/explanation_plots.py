"""Figures of what a model's predictions rest on.

Each function draws into `axes`, or into a new figure, and returns the figure. Contributions are in the unit of the booster's
margin. A model that XGBoost cannot explain has a figure of permutation importance and gain alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from boostlab.data.values import as_numbers, format_value
from boostlab.display.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    REFERENCE,
    TYPE_PT,
    finish_axes,
    make_axes,
    make_message,
    make_mosaic,
    name_ticks,
    shorten_label,
)
from boostlab.display.numbers import format_number
from boostlab.evaluation.explanations import Explanation
from boostlab.evaluation.metrics import find_errors
from boostlab.models.contributions import name_outputs

Array = np.ndarray[Any, Any]
MOST_BARS = 20
MOST_SWARMS = 6
MOST_STEPS = 6  # of a waterfall, before the rest in one
MOST_CATEGORIES = 8
SLOTS = 60  # of a swarm along the axis
MISSING, UNORDERED = GREEN, PURPLE
VALUES = LinearSegmentedColormap.from_list("values", [BLUE, "#999999", ORANGE])  # also for people with colour blindness
POINT: dict[str, Any] = {"s": 14, "linewidths": 0, "rasterized": True}
NAMES = {"contribution": "mean |contribution|", "permutation": "loss if permuted", "gain": "gain in training"}


def plot_importance(explanation: Explanation, *, axes: Axes | None = None) -> Figure:
    """Draw each column's share of all contributions, of all permutation losses and of all gain, at most 20 columns.

    Each sort has a unit of its own: shares of their sums can be compared. Lines are 95 % intervals.
    """
    shown, whole = explanation.importance.head(MOST_BARS)[::-1], explanation.importance
    axes, places = axes or make_axes(1.5 + 0.26 * len(shown)), np.arange(len(shown))
    styles: dict[str, dict[str, Any]] = {
        "contribution": {"color": BLUE, "marker": "o"},
        "permutation": {"color": ORANGE, "marker": "s"},
        "gain": {"color": GREY, "marker": "D"},
    }
    for lane, (kind, style) in enumerate(styles.items()):
        total = whole[kind].clip(lower=0).sum() or 1.0
        if explanation.refusal and kind == "contribution":
            continue
        error = 1.96 * shown[f"{kind}_error"].to_numpy() / total if kind != "gain" else None
        y = places + 0.22 * (1 - lane)
        axes.errorbar(shown[kind].to_numpy() / total, y, xerr=error, linestyle="", markersize=5, label=NAMES[kind], **style)
    axes.axvline(0, **REFERENCE)
    axes.set_yticks(places, [shorten_label(name) for name in shown.index])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    rest = f": {len(shown)} of {len(whole)} columns" if len(shown) < len(whole) else ""
    return finish_axes(axes, f"Importance in {_name_rows(explanation)}{rest}", x="share of the sum over all columns")


def plot_explanations(explanation: Explanation) -> Figure:
    """Draw the contributions of the first columns, how the first two depend on their values, and two rows in steps."""
    if explanation.refusal:
        return make_message(explanation.refusal)
    names = explanation.rank_columns()[:MOST_SWARMS]
    steps = 2 * min(len(explanation.importance), MOST_STEPS + 1)
    heights = [1.2 + 0.34 * len(names), 2.6, 1.4 + 0.25 * steps]
    middle = ["d", "e"] if len(names) > 1 else ["d", "d"]
    figure, panels = make_mosaic([["s", "s"], middle, ["w", "w"]], height_in=sum(heights), height_ratios=heights)
    plot_swarms(explanation, axes=panels["s"])
    for panel, name in zip("de", names, strict=False):
        plot_dependence(explanation, name, axes=panels[panel])
    plot_steps(explanation, choose_rows(explanation), axes=panels["w"])
    return figure


def choose_rows(explanation: Explanation) -> dict[str, int]:
    """Return two rows to look at, by what they are: the largest error, and the error that is nearest to the median error."""
    losses = find_errors(explanation.true, explanation.answers, explanation.contract)
    return {"largest error": int(losses.argmax()), "typical error": int(np.abs(losses - np.median(losses)).argmin())}


def plot_swarms(explanation: Explanation, *, axes: Axes | None = None) -> Figure:
    """Draw a point for each row and each of the first columns, at its contribution, coloured by the value of the column."""
    names = explanation.rank_columns()[:MOST_SWARMS]
    axes = axes or make_axes(1.3 + 0.36 * len(names))
    axes.axvline(0, **REFERENCE)
    unordered = missing = False
    for place, name in enumerate(reversed(names)):
        shares, x = _rank(explanation, name), _contribution(explanation, name)
        y = place + _spread(x)
        known, ordered = ~np.isnan(shares), _is_ordered(explanation, name)
        unordered, missing = unordered or not ordered, missing or not known.all()
        style = {"c": shares[known], "cmap": VALUES, "vmin": 0, "vmax": 1} if ordered else {"color": UNORDERED}
        axes.scatter(x[known], y[known], **style, **POINT)
        axes.scatter(x[~known], y[~known], color=MISSING, **POINT)
    axes.set_yticks(range(len(names)), [shorten_label(name, 24) for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 0.4)
    colours: dict[str, Any] = {"low value": VALUES(0.0), "high value": VALUES(1.0)}
    colours |= ({"missing": MISSING} if missing else {}) | ({"without order": UNORDERED} if unordered else {})
    handles: list[Any] = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colours.values()]
    title = f"Contributions{_name_output(explanation)} in {_name_rows(explanation)}"
    return finish_axes(axes, title, x=f"contribution ({_shorten_unit(explanation)})", labels=(handles, list(colours)))


def plot_dependence(explanation: Explanation, name: str, *, axes: Axes | None = None) -> Figure:
    """Draw the contribution of a column by its value; of a text column, by its most frequent categories."""
    axes, numbers, y = axes or make_axes(3.0), _as_numbers(explanation, name), _contribution(explanation, name)
    feature = _find_feature(explanation, name)
    known = ~np.isnan(numbers)
    x, end = numbers, 0.0
    if feature.type in ("category", "boolean"):
        labels = feature.categories or ("false", "true")
        counts = np.bincount(numbers[known].astype(int), minlength=len(labels))
        kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
        positions = np.full(len(labels), np.nan)
        positions[kept] = np.arange(len(kept))
        x = np.where(known, positions[np.where(known, numbers, 0).astype(int)], np.nan)
        x = x + np.random.default_rng(0).uniform(-0.25, 0.25, len(x))
        name_ticks(axes, [shorten_label(labels[code], 12) for code in kept])
        end = -1.0
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        low, high = (numbers[known].min(), numbers[known].max()) if known.any() else (0.0, 1.0)
        end = low - 0.08 * ((high - low) or 1.0)
        if feature.type == "date":
            axes.xaxis.set_major_formatter(lambda days, _: format_value(days, feature)[:7])
    axes.axhline(0, **REFERENCE)
    axes.scatter(x[known], y[known], color=BLUE, alpha=0.6, **POINT)
    if not known.all():
        axes.scatter(np.full((~known).sum(), end), y[~known], color=MISSING, **POINT, label="missing")
    return finish_axes(axes, f"By {shorten_label(name, 24)}{_name_output(explanation)}", x=shorten_label(name), y="contribution")


def plot_steps(explanation: Explanation, rows: Mapping[str, int], *, axes: Axes | None = None) -> Figure:
    """Draw how the contributions of each of some rows, the largest first, lead from the bias to the margin of its prediction."""
    axes, names, labels = axes or make_axes(1.4 + 2.0 * len(rows)), explanation.contract.names, list[str]()
    axes.use_sticky_edges = False  # the bias is not at the edge
    for title, row in rows.items():
        output = _find_output(explanation, row)
        *contributions, bias = explanation.contributions[row, output]
        order = np.argsort(-np.abs(contributions), kind="stable")
        first, rest = order[:MOST_STEPS], order[MOST_STEPS:]
        steps = np.array(
            [*(contributions[place] for place in first), *([sum(contributions[place] for place in rest)] * bool(len(rest)))]
        )
        ends, top = bias + np.cumsum(steps), len(labels)
        places = np.arange(top + 1, top + 1 + len(steps))
        axes.barh(places, steps, left=ends - steps, color=[ORANGE if step > 0 else BLUE for step in steps])
        axes.plot([bias, bias], [top + 0.5, places[-1] + 0.5], **REFERENCE)
        axes.plot([ends[-1]] * 2, [top + 0.5, places[-1] + 0.5], color=GREY, linewidth=1.2)
        axes.text(
            0, top, f"{title}, {_describe_row(explanation, row)}", transform=axes.get_yaxis_transform(), va="center", size=TYPE_PT
        )
        labels += [
            "",
            *(_name_value(explanation, names[place], row) for place in first),
            *([f"{len(rest)} other{'s' * (len(rest) > 1)}"] * bool(len(rest))),
        ]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    title = "Two rows" if len(rows) == 2 else "Rows"
    return finish_axes(axes, f"{title}, from the bias (dashed) to the margin", x=_shorten_unit(explanation))


def _find_output(explanation: Explanation, row: int) -> int:
    """Return the output that explains a row's answer: of several classes, the predicted one."""
    several = len(explanation.contract.labels) > 2
    return int(np.argmax(explanation.answers[row])) if several else explanation.shown


def _describe_row(explanation: Explanation, row: int) -> str:
    answers, labels = explanation.answers[row], explanation.contract.labels
    where = f"row {explanation.rows[row] + 1:,}"
    if labels:
        best = int(np.argmax(answers))
        chosen, true = (shorten_label(labels[place], 16) for place in (best, int(explanation.true[row])))
        return f"{where}: {chosen} ({answers[best]:.2f}), true {true}"
    value = answers if np.ndim(answers) == 0 else answers[explanation.contract.middle]
    return f"{where}: predicted {format_number(float(value))}, true {format_number(float(explanation.true[row]))}"


def _name_value(explanation: Explanation, name: str, row: int) -> str:
    value = explanation.frame[name].iloc[row]
    missing = np.isnan(_as_numbers(explanation, name)[row]) and _find_feature(explanation, name).type != "category"
    text = "missing" if missing or value is None or value != value else value
    if isinstance(text, float | np.floating):
        text = format_number(float(text))
    return shorten_label(f"{shorten_label(name, 16)} = {str(text).removesuffix(' 00:00:00')[:14]}", 32)


def _name_rows(explanation: Explanation) -> str:
    count = len(explanation.rows)
    return f"{count:,} of {explanation.part_rows:,} rows" if count < explanation.part_rows else f"{count:,} rows"


def _name_output(explanation: Explanation) -> str:
    """Return which of several outputs the figures of all rows show."""
    names = name_outputs(explanation.contract)
    return f" to {shorten_label(names[explanation.shown], 16)}" if len(names) > 1 else ""


def _shorten_unit(explanation: Explanation) -> str:
    return shorten_label(explanation.unit, 60)


def _contribution(explanation: Explanation, name: str) -> Array:
    return np.asarray(explanation.contributions[:, explanation.shown, explanation.contract.names.index(name)])


def _find_feature(explanation: Explanation, name: str) -> Any:
    return explanation.contract.features[explanation.contract.names.index(name)]


def _is_ordered(explanation: Explanation, name: str) -> bool:
    feature = _find_feature(explanation, name)
    return bool(feature.type != "category" or feature.ordered)


def _as_numbers(explanation: Explanation, name: str) -> Array:
    """Return a column as numbers: the position of a category, the days of a date; NaN for a missing value."""
    return as_numbers(explanation.frame[name], _find_feature(explanation, name))


def _rank(explanation: Explanation, name: str) -> Array:
    """Return each value's rank among the values of its column, from 0 to 1; NaN for a missing value."""
    numbers = _as_numbers(explanation, name)
    known = ~np.isnan(numbers)
    distinct, places = np.unique(numbers[known], return_inverse=True)
    ranks = np.full(len(numbers), np.nan)
    ranks[known] = places / max(len(distinct) - 1, 1)
    return ranks


def _spread(x: Array) -> Array:
    """Return a shift across the axis for each point, so that points with the same contribution lie side by side."""
    slots = np.floor((x - x.min()) / (np.ptp(x) or 1.0) * (SLOTS - 1)).astype(int)
    order = np.argsort(slots, kind="stable")
    counts = np.bincount(slots, minlength=SLOTS)
    number = np.empty(len(x), int)
    number[order] = np.arange(len(x)) - np.repeat(np.cumsum(counts) - counts, counts)
    side = np.where(number % 2, 1, -1) * ((number + 1) // 2)
    return np.asarray(0.38 * side / max(counts.max() / 2, 4))
