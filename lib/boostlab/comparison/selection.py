"""Which runs are compared: found in the store, the best first, and never those of different data together.

The store ranks and filters; only the runs that are shown are fetched, however many there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError, suggest
from boostlab.training.metrics import is_higher_better

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXISTS = "> -1.7e308"
TASK_METRICS = {"regression": "test_rmse", "classification": "test_log_loss"}
SPARE_RUNS = 100  # runs that are fetched beyond those that are shown, as some are on other data
KNOWN_RUNS = 1000  # the newest runs, among which a misspelt one is looked for
SEARCH_HELP = "It takes MLflow's search syntax, such as: metrics.test_r2 > 0.4 AND params.max_depth = '4'"


@dataclass(frozen=True)
class Data:
    """The data set that a run says it used; both empty where it says none."""

    name: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} · {self.digest[:8]}" if self.digest else "data not recorded"


@dataclass(frozen=True)
class Selection:
    """Runs that are compared.

    Attributes
    ----------
    runs : tuple of mlflow.entities.Run
        All on one data set, the best first.
    metric : str
    higher_is_better : bool
    data : Data
    has_more : bool
        Whether more runs on this data match than are here.
    others : dict of Data to mlflow.entities.Run
        A run on each other data set, of the newest: told apart, not ranked together.
    lacking : tuple of str
        Names of runs that were asked for and do not have the metric.
    """

    runs: tuple[Run, ...] = ()
    metric: str = ""
    higher_is_better: bool = False
    data: Data = Data()
    has_more: bool = False
    others: dict[Data, Run] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    def find(self, client: MlflowClient, asked: str) -> Run:
        """Return the run of that id or name, from the store if it is not among these."""
        among = [run for run in self.runs if asked in (run.info.run_id, run.info.run_name)]
        return among[0] if among else find_named(client, [asked])[0]


def select_runs(
    client: MlflowClient,
    *,
    experiments: Sequence[str] = (),
    runs: Sequence[str] = (),
    notebook: str = "",
    search: str = "",
    metric: str = "",
    direction: str = "auto",
    how_many: int = 20,
    without: str = "",
) -> Selection:
    """Return the best runs on one data set: that of the newest run that matches.

    Parameters
    ----------
    experiments : sequence of str
        Names; empty: all.
    runs : sequence of str
        Ids or names of the runs to compare, whatever experiment, notebook or end they have; empty: those that finished.
    notebook : str
        Only runs of the notebook of that name; empty: of any.
    search : str
        A condition in MLflow's search syntax.
    metric : str
        Empty: what the newest run's task is judged by.
    direction : {"auto", "lower", "higher"}
        Which value of the metric is better; needed for metrics that boostlab does not know.
    without : str
        An experiment to leave out, unless it is named.

    Raises
    ------
    LabError
        If an experiment or a run is not there, the condition cannot be read, or no run that matches has the metric.
    """
    if runs:
        return _rank(find_named(client, runs), metric, direction)
    ids = _find_experiments(client, experiments, without)
    conditions = [f"tags.`boostlab.notebook` = '{_quote(notebook)}'"] if notebook else []
    conditions += ["attributes.status = 'FINISHED'", *([search] if search else [])]
    newest = _search(client, ids, conditions, order="attributes.start_time DESC", most=1)
    if not newest:
        return Selection(metric=metric)
    metric = metric or _judge_by(newest[0])
    higher = _direct(metric, direction)
    conditions.append(f"metrics.`{metric}` {EXISTS}")
    found = newest if metric in newest[0].data.metrics else []
    found = found or _search(client, ids, conditions, order="attributes.start_time DESC", most=1)
    if not found:
        raise _lacks(metric, newest)
    data = describe_data(found[0])
    order = f"metrics.`{metric}` {'DESC' if higher else 'ASC'}"
    ranked, has_more = _search_ranked(client, ids, conditions, data, order=order, most=how_many)
    elsewhere = [f"dataset.digest != '{_quote(data.digest)}'"] if data.digest else []
    rest = _search(client, ids, [*conditions, *elsewhere], most=SPARE_RUNS)
    return Selection(tuple(ranked), metric, higher, data, has_more, _choose_elsewhere(rest, data))


def find_named(client: MlflowClient, names: Sequence[str]) -> list[Run]:
    """Return the runs of the given ids or names, in that order; of several runs of one name, the newest.

    Raises
    ------
    LabError
        If there is none of that id or name.
    """
    ids = _find_experiments(client, (), "")
    wanted = ", ".join(f"'{_quote(name)}'" for name in names)
    known = {run.info.run_id: run for run in _search(client, ids, [f"attributes.run_id IN ({wanted})"], most=len(names))}
    found = [known.get(name) or _find_by_name(client, ids, name) for name in names]
    return list({run.info.run_id: run for run in found}.values())


def find_siblings(client: MlflowClient, run: Run, *, metric: str, params: Sequence[str], most: int = 100) -> list[Run]:
    """Return the finished runs of a run's experiment and data whose given parameters are the same, itself among them."""
    conditions = [f"params.`{name}` = '{_quote(run.data.params[name])}'" for name in params if name in run.data.params]
    conditions += ["attributes.status = 'FINISHED'", f"metrics.`{metric}` {EXISTS}"]
    found = _search(client, [run.info.experiment_id], conditions, most=most)
    return [other for other in found if describe_data(other) == describe_data(run)]


def describe_data(run: Run) -> Data:
    """Return the data set that a run says it used."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Data(inputs[0].dataset.name, inputs[0].dataset.digest) if inputs else Data()


def _rank(runs: list[Run], metric: str, direction: str) -> Selection:
    """Return a selection of runs that are all at hand."""
    metric = metric or _judge_by(runs[0])
    higher = _direct(metric, direction)
    having = [run for run in runs if metric in run.data.metrics]
    if not having:
        raise _lacks(metric, runs)
    having.sort(key=lambda run: run.data.metrics[metric], reverse=higher)
    data = max(map(describe_data, having), key=[describe_data(run) for run in having].count)
    kept = tuple(run for run in having if describe_data(run) == data)
    lacking = tuple(run.info.run_name for run in runs if metric not in run.data.metrics)
    return Selection(kept, metric, higher, data, False, _choose_elsewhere(having, data), lacking)


def _choose_elsewhere(runs: Sequence[Run], data: Data) -> dict[Data, Run]:
    """Return the first run on each data set but one."""
    first = {describe_data(run): run for run in reversed(runs)}
    first.pop(data, None)
    return dict(reversed(first.items()))


def _search_ranked(
    client: MlflowClient, ids: list[str], conditions: list[str], data: Data, *, order: str, most: int
) -> tuple[list[Run], bool]:
    """Return the first runs on one data set, and whether there are more.

    SQLite takes time that grows with the square of the runs to sort those of one data set. It is therefore asked to sort
    all, which is fast, and only if few of the first are on that data, to look for those.
    """
    page = _search(client, ids, conditions, order=order, most=most + SPARE_RUNS)
    if data.digest and page.token and sum(describe_data(run) == data for run in page) < most:
        page = _search(client, ids, [*conditions, f"dataset.digest = '{_quote(data.digest)}'"], order=order, most=most)
    found = [run for run in page if describe_data(run) == data]
    return found[:most], len(found) > most or bool(page.token)


def _search(
    client: MlflowClient, ids: list[str], conditions: Sequence[str], *, order: str = "attributes.start_time DESC", most: int
) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.search_runs(ids, " AND ".join(conditions), max_results=most, order_by=[order])
    except MlflowException as error:
        reason = error.message.strip().splitlines()[0]
        if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise LabError(f"The store cannot read the search {' AND '.join(conditions)!r}: {reason} {SEARCH_HELP}") from None
        raise LabError(f"The store fails to search its runs: {reason}") from None


def _find_experiments(client: MlflowClient, names: Sequence[str], without: str) -> list[str]:
    known: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        known |= {experiment.name: experiment.experiment_id for experiment in page}
        token = page.token
        if not token:
            break
    for name in names:
        if name not in known:
            raise LabError(
                f"The store has no experiment {name!r}.{suggest(name, known)} It has: {', '.join(sorted(known)[:30])}."
            )
    return [known[name] for name in names] if names else [number for name, number in known.items() if name != without]


def _find_by_name(client: MlflowClient, ids: list[str], name: str) -> Run:
    found = _search(client, ids, [f"attributes.run_name = '{_quote(name)}'"], most=1)
    if found:
        return found[0]
    newest = _search(client, ids, [], most=KNOWN_RUNS)
    known = [text for run in newest for text in (run.info.run_name, run.info.run_id)]
    raise LabError(f"The store has no run of the id or name {name!r}.{suggest(name, known)} Copy one from the run's page.")


def _judge_by(run: Run) -> str:
    """Return the metric that a run's task is judged by."""
    named = TASK_METRICS.get(run.data.tags.get("boostlab.task", ""), "")
    fitting = [name for name in (named, *TASK_METRICS.values()) if name in run.data.metrics]
    if not fitting:
        raise LabError(
            f"The newest run, {run.info.run_name}, has none of {', '.join(TASK_METRICS.values())}. "
            f"Name a metric, as -p metric NAME. It has: {_list(run)}."
        )
    return fitting[0]


def _direct(metric: str, direction: str) -> bool:
    if direction != "auto":
        return direction == "higher"
    try:
        return is_higher_better(metric)
    except LabError as error:
        raise LabError(f"{error} For another one, say which: -p direction lower, or higher.") from None


def _lacks(metric: str, runs: Sequence[Run]) -> LabError:
    names = {name for run in runs for name in run.data.metrics}
    return LabError(
        f"No run that matches has the metric {metric!r}.{suggest(metric, names)} {runs[0].info.run_name} has: {_list(runs[0])}."
    )


def _list(run: Run) -> str:
    return ", ".join(sorted(run.data.metrics)) or "no metric at all"


def _quote(text: str) -> str:
    """Return a text as it may stand between single quotes in a search, which knows no escape for them."""
    if re.search("['\"`]", text):
        raise LabError(f"The name {text!r} holds a quotation mark, which MLflow's search cannot look for. Use the run's id.")
    return text
