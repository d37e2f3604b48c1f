"""Configurations: runs that differ at most in their seed, and what differs between configurations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from boostlab.comparison.search import find_siblings
from boostlab.comparison.selection import Selection
from boostlab.display.numbers import shorten_apart

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BOOKKEEPING = ("experiment", "run_name", "tracking_uri", "register_as", "nthread")  # parameters that change no model
MOST_CONFIGURATIONS = 8
MOST_CHARACTERS = 120  # of a parameter's text in a cell
MOST_CONDITIONS = 12  # parameters by which the store is asked for runs of one configuration


def find_differing(runs: Sequence[Run]) -> list[str]:
    """Return the parameters that do not have one value in all runs, in the notebook's order, without bookkeeping."""
    names = dict.fromkeys(name for run in runs for name in run.data.params)
    return [name for name in names if name not in BOOKKEEPING and len({run.data.params.get(name) for run in runs}) > 1]


def list_varying(selection: Selection) -> dict[str, list[Any]]:
    """Return the values of each parameter that differs, one per run: numbers where all of the text is a number."""
    return {name: [to_value(run.data.params.get(name)) for run in selection.runs] for name in find_differing(selection.runs)}


def group_seeds(client: MlflowClient, selection: Selection) -> list[tuple[str, list[float]]]:
    """Return the metric of all finished runs of the best configurations, at most eight, the best mean first.

    Each is named after the parameters by which it differs from the others. Runs outside the selection count too: the best of many
    seeds looks better than the configuration is.
    """
    varying = [name for name in find_differing(selection.runs) if name != "seed"]
    bests: dict[tuple[tuple[str, str], ...], Run] = {}
    for run in selection.runs:
        if len(bests) < MOST_CONFIGURATIONS:
            bests.setdefault(configure(run), run)
    found = []
    for (key, run), label in zip(bests.items(), describe_configurations(list(bests.values()), varying), strict=True):
        siblings = find_siblings(client, run, metric=selection.metric, params=varying[:MOST_CONDITIONS])
        runs = {one.info.run_id: one for one in (run, *siblings) if configure(one) == key}
        found.append((label, [one.data.metrics[selection.metric] for one in runs.values()]))
    return sorted(found, key=lambda item: fmean(item[1]), reverse=selection.higher_is_better)


def describe_configurations(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Return the parameters of these names in each run, with the digits that tell the values apart."""
    shown = {name: shorten_values([run.data.params.get(name) for run in runs]) for name in names}
    lines = [[f"{name} {shown[name][row]}" for name in names if name in run.data.params] for row, run in enumerate(runs)]
    return [" · ".join(line) or "one configuration" for line in lines]


def shorten_values(texts: Sequence[str | None]) -> list[str]:
    """Return the values of a parameter as a cell shows them: numbers with few digits, the start of a long text, "–" for None.

    Where that would show two texts alike, such as "0.1" and "0.10", all are shown as they are.

    Examples
    --------
    >>> shorten_values(["0.06873160873590572", "4", "hist", None])
    ['0.06873', '4', 'hist', '–']
    """
    values = {at: to_value(text) for at, text in enumerate(texts) if text is not None}
    floats = {at: value for at, value in values.items() if isinstance(value, float)}
    shown = dict(zip(floats, shorten_apart(list(floats.values())), strict=True))
    whole = [shown.get(at, "–" if text is None else text) for at, text in enumerate(texts)]
    cut = [f"{text[:MOST_CHARACTERS]}…" if len(text) > MOST_CHARACTERS else text for text in whole]
    given = ["(not set)" if text is None else text for text in texts]
    return next((way for way in (cut, whole) if len(set(way)) == len(set(texts))), given)


def configure(run: Run) -> tuple[tuple[str, str], ...]:
    """Return the parameters that runs of one configuration share."""
    return tuple(sorted((name, value) for name, value in run.data.params.items() if name not in (*BOOKKEEPING, "seed")))


def to_value(text: str | None) -> Any:
    """Return a parameter as a number if all of its text is one, else as it is.

    Examples
    --------
    >>> to_value("4"), to_value("0.1"), to_value("1e999"), to_value("hist")
    (4, 0.1, '1e999', 'hist')
    """
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return text
    return text if not math.isfinite(number) else int(number) if str(text).lstrip("-").isdecimal() else number
