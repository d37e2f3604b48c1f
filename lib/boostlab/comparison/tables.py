"""Tables of runs: the ranking, the runs on other data, and the parameters of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from boostlab.comparison.configurations import find_differing, to_value
from boostlab.comparison.search import read_dataset
from boostlab.comparison.selection import Selection
from boostlab.display.tables import Table

if TYPE_CHECKING:
    from mlflow.entities import Run

MOST_METRICS = 5
MOST_CHARACTERS = 120  # of a parameter's text in a cell


def tabulate_runs(selection: Selection) -> Table:
    """Return the runs: rank, parameters that differ, metrics, duration, data and id."""
    params, metrics = find_differing(selection.runs), _choose_metrics(selection)
    rows = [
        [
            rank,
            run.info.run_name,
            *(_shorten(run.data.params.get(name)) for name in params),
            *(_read_metric(run, name) for name in metrics),
            _duration_s(run),
            str(read_dataset(run)),
            run.info.run_id,
        ]
        for rank, run in enumerate(selection.runs, 1)
    ]
    columns = ["rank", "run", *params, *metrics, "duration (s)", "data", "run id"]
    return Table("Runs, the best first", columns, rows, marked=[0] if rows else [])


def tabulate_others(selection: Selection) -> Table:
    """Return one run on each other data set."""
    rows = [
        [str(dataset), run.info.run_name, run.data.metrics[selection.metric], run.info.run_id]
        for dataset, run in selection.others.items()
    ]
    return Table("Other data, one recent run each, not ranked", ["data", "run", selection.metric, "run id"], rows)


def tabulate_parameters(pair: Sequence[Run]) -> Table:
    """Return the parameters in which champion and challenger differ."""
    rows = [[name, *(_shorten(run.data.params.get(name, "–")) for run in pair)] for name in find_differing(pair)]
    return Table("Parameters that differ", ["parameter", "champion", "challenger"], rows)


def _choose_metrics(selection: Selection) -> list[str]:
    """Return the metric of the comparison, other results on the test part, and how long training took."""
    recorded = dict.fromkeys(name for run in selection.runs for name in sorted(run.data.metrics))
    names = dict.fromkeys([selection.metric, *(name for name in recorded if name.startswith("test_"))])
    return [*list(names)[:MOST_METRICS], *(name for name in ("best_iteration", "fit_time_s") if name in recorded)]


def _read_metric(run: Run, name: str) -> float | int | None:
    value: float | None = run.data.metrics.get(name)
    return int(value) if name == "best_iteration" and value is not None else value


def _duration_s(run: Run) -> float | None:
    return round((run.info.end_time - run.info.start_time) / 1000, 1) if run.info.end_time else None


def _shorten(text: str | None) -> Any:
    value = to_value(text)
    return f"{value[:MOST_CHARACTERS]}…" if isinstance(value, str) and len(value) > MOST_CHARACTERS else value
