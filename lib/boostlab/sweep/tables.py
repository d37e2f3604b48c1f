"""What a sweep found, as a table of its best trials and as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from boostlab.display.markdown import escape, format_code
from boostlab.display.numbers import format_number
from boostlab.display.tables import Details, Link, Table
from boostlab.sweep.ranking import (
    count_states,
    describe_lack,
    find_best,
    find_front,
    format_duration,
    list_columns,
    list_complete,
    measure_s,
    rank_trials,
    to_costs,
)
from boostlab.sweep.trial import Objective, Trial

MOST_COLUMNS = 6  # of parameters; more are in one column
MOST_CHARACTERS = 300  # of a reason


def tabulate_best(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    how_many: int = 10,
    *,
    run_url: Callable[[str], str] | None = None,
) -> Table:
    """Return the best complete trials with what differs between all trials; the best, or the Pareto front, is marked.

    If fewer are complete, those that were pruned, failed or still run follow, without a rank.

    Parameters
    ----------
    run_url : callable, optional
        Returns the address of a run's page by the run's id; without it, the table has no links.
    """
    ranked: list[tuple[int | None, Trial]] = [*rank_trials(trials, objectives, how_many=how_many)]
    known = {trial.number for _, trial in ranked}
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}
    rest = sorted((each for each in trials if each.number not in known), key=lambda each: (order[each.state], each.number))
    shown = [*ranked, *((None, trial) for trial in rest)][:how_many]
    names = [column.name for column in list_columns(trials)]
    wide, has_intervals = len(names) > MOST_COLUMNS, any(trial.interval for _, trial in shown)
    rows = []
    for rank, trial in shown:
        values = [_show_value(trial, position) for position in range(len(objectives))]
        values[1:1] = [_show_interval(trial.interval)] if has_intervals else []
        point = [_show_point(trial, names)] if wide else [_show(trial, name) for name in names]
        rows.append([rank, trial.number, *values, *point, _show_duration(trial), _show_state(trial), _link(trial, run_url)])
    marked = [place for place, (rank, _) in enumerate(shown) if rank == 1]
    metrics = [each.metric for each in objectives]
    metrics[1:1] = ["95 % interval"] if has_intervals else []
    columns = ["rank", "trial", *metrics, *(["parameters"] if wide else names), "duration", "state", "run"]
    left_out = f" ({len(shown):,} of {len(trials):,})" if len(shown) < len(trials) else ""
    return Table(f"Trials, the best first{left_out}", columns, rows, marked, empty=describe_lack(trials))


def describe(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Return in Markdown how many trials ended how, the best so far, and its gain over trial 0 with how sure it is."""
    if not trials:
        return describe_lack(trials)
    counts = count_states(trials)
    ended = ", ".join(f"{counts[state]:,} {state}" for state in ("complete", "pruned", "running") if counts[state])
    said = [
        f"{len(trials):,} trial{'s' if len(trials) > 1 else ''}: {', '.join(filter(None, (ended, _describe_failed(trials))))}."
    ]
    complete = list_complete(trials, objectives)
    if not complete:
        return f"{said[0]} No trial has a value yet."
    if len(objectives) > 1:
        front = int(find_front(to_costs(complete, objectives)).sum())
        said.append(f"{front:,} of the complete trials {'are' if front > 1 else 'is'} on the Pareto front.")
    said += [_describe_best(complete, objectives, position) for position in range(len(objectives))]
    return " ".join(said)


def _describe_best(complete: Sequence[Trial], objectives: Sequence[Objective], position: int) -> str:
    """Return the best value of one metric, and its gain over trial 0."""
    best = find_best(complete, objectives, position=position)
    assert best is not None  # there is a complete trial
    value, metric = best.values[position], format_code(objectives[position].metric)
    interval = best.interval if position == 0 else None
    ends = f" (95 % interval {' to '.join(map(format_number, interval))})" if interval else ""
    found = f"The best {metric} is {format_number(value)}{ends}, in trial {best.number:,}."
    first = complete[0]
    if first.number != 0:
        return f"{found} Trial 0 has no value to compare it with."
    if best is first or value == first.values[position]:
        return f"{found} No trial is better than trial 0{_name_source(first)}." if len(complete) > 1 else found
    gain = format_number(abs(value - first.values[position]))
    start = f"{format_number(first.values[position])} of trial 0{_name_source(first)}"
    return f"{found} It is better by {gain} than the {start}. {_judge(first.values[position], interval, len(complete))}"


def _judge(first: float, interval: tuple[float, float] | None, count: int) -> str:
    """Return what the interval of the best trial says of its gain over the value of trial 0."""
    if interval is None:
        return "Whether this is more than luck is not known: the trial has no interval of this metric."
    if interval[0] <= first <= interval[1]:
        return "The value of trial 0 is within the interval of the best: the gain may be luck."
    return (
        "The value of trial 0 is outside the interval of the best. The interval does not allow for the choice of the best of "
        f"{count:,} trials: rows that the search has not seen must confirm the gain."
    )


def _describe_failed(trials: Sequence[Trial]) -> str:
    """Return the number of failed trials with the most frequent reason; an empty text if none failed."""
    reasons = [" ".join(trial.reason.split()) for trial in trials if trial.state == "failed"]
    if not reasons:
        return ""
    reason, count = Counter(reasons).most_common(1)[0]
    if not reason:
        return f"{len(reasons):,} failed"
    which = "the reason" if count == len(reasons) else f"the reason of {count:,}"
    return f"{len(reasons):,} failed ({which}: {escape(_shorten(reason))})"


def _name_source(first: Trial) -> str:
    """Return where the point of trial 0 comes from, such as the champion, in brackets."""
    return f" ({escape(_shorten(first.reason))})" if first.reason else ""


def _link(trial: Trial, run_url: Callable[[str], str] | None) -> Any:
    name = trial.run_name or trial.run_id[:8] or "–"
    return Link(name, run_url(trial.run_id)) if run_url and trial.run_id else name


def _show_value(trial: Trial, position: int) -> Any:
    """Return the value of a complete trial, or the last report of another one, named so."""
    if trial.state == "complete" and len(trial.values) > position:
        return trial.values[position]
    reports = {step: value for step, value in trial.reports.items() if isfinite(value)} if position == 0 else {}
    return f"{format_number(reports[max(reports)])} at step {max(reports):,}" if reports else "–"


def _show_interval(interval: tuple[float, float] | None) -> str:
    return " to ".join(map(format_number, interval)) if interval else "–"


def _show_duration(trial: Trial) -> str:
    seconds = measure_s(trial)
    return "–" if seconds is None else format_duration(seconds)


def _show_point(trial: Trial, names: Sequence[str]) -> Details:
    """Return how many parameters there are, which opens to show them."""
    shown = {name: _show(trial, name) for name in names if name in trial.point}
    texts = [f"{name} {format_number(value) if isinstance(value, float) else value}" for name, value in shown.items()]
    return Details(f"{len(texts)} that differ", texts)


def _show(trial: Trial, name: str) -> Any:
    """Return a parameter's value as a cell, which is empty if the trial does not have it."""
    if name not in trial.point:
        return None
    value = trial.point[name]
    return value if type(value) in (int, float) else _shorten(str(value), 60)


def _show_state(trial: Trial) -> Any:
    """Return the state; for a trial that was pruned or failed, it opens to show why."""
    ended = trial.state in ("pruned", "failed") and trial.reason
    return Details(trial.state, [_shorten(trial.reason)]) if ended else trial.state


def _shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
