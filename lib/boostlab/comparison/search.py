"""Search for runs in a store: by condition, by id or name, and by equal parameters.

MLflow's search syntax has no escape for some characters. The store is then asked for a superset, by a ``LIKE`` pattern, and the
exact text is compared here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from boostlab.comparison.versions import VERSION, find_version_run
from boostlab.data.digest import DIGITS
from boostlab.errors import LabError, suggest
from boostlab.tracking.facts import PRUNED_TAG, SPLIT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HAS_VALUE = "> -1.7e308"
NEWEST_FIRST = "attributes.start_time DESC"
PAGE_RUNS = 100  # fewest runs of a page where texts are compared here
KNOWN_RUNS = 1000  # the newest runs, among which the nearest name to a misspelt one is searched
EXPRESSIBLE = re.compile(r"[^'\"`\\\x00-\x1f\x7f]{0,100}")  # texts that MLflow's search takes between single quotes
SPECIAL = re.compile(r"['\"`\\%\x00-\x1f\x7f]")
PREFIX_CHARACTERS = 100
SPLIT_PARAMS = (
    "split",
    "seed",
    "test_size",
    "valid_size",
    "stratify",
    "group",
    "time",
)  # they split the rows of earlier versions
FOLDING = ("folds", "split", "time", "time_gap", "group", "duplicates")
SEARCH_HELP = "It takes MLflow's search syntax, such as: metrics.test_r2 > 0.4 AND params.max_depth = '4'"


@dataclass(frozen=True)
class Dataset:
    """The data set that a run recorded; both fields are empty where it recorded none."""

    name: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} · {self.digest[:8]}" if self.digest else "data not recorded"


@dataclass(frozen=True)
class Rows:
    """The rows that judge a run, on which alone its metrics can be compared; both fields are empty where it recorded none."""

    digest: str = ""  #: of the split, or of the data set and the parameters that split it
    dataset: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.dataset} · {self.digest[:8]}" if self.digest else "data not recorded"


NO_ROWS = Rows()


@dataclass(frozen=True)
class RunSearch:
    """Conditions on a store's runs."""

    client: MlflowClient
    experiment_ids: tuple[str, ...]
    conditions: tuple[str, ...] = ()  #: in MLflow's search syntax
    texts: tuple[tuple[str, str, str], ...] = ()  #: entity, name and text of each field whose text is compared here
    without_pruned: bool = False  #: whether trials that a sweep ended early are left out

    def where(self, *conditions: str) -> RunSearch:
        """Return the search with more conditions."""
        return replace(self, conditions=(*self.conditions, *conditions))

    def equal(self, entity: Literal["params", "tags", "attributes", "dataset"], name: str, text: str) -> RunSearch:
        """Return the search with one more field that must equal a text, whatever characters the text holds."""
        if EXPRESSIBLE.fullmatch(text):
            return self.where(f"{entity}.`{name}` = '{text}'")
        prefix = SPECIAL.sub("_", text.partition("\n")[0][:PREFIX_CHARACTERS])
        return replace(self.where(f"{entity}.`{name}` LIKE '{prefix}%'"), texts=(*self.texts, (entity, name, text)))

    def on_rows_of(self, run: Run) -> RunSearch:
        """Return the search with the condition that the same rows judge the runs as this run."""
        if SPLIT_TAG in run.data.tags:
            return self.equal("tags", SPLIT_TAG, run.data.tags[SPLIT_TAG])
        search = self.equal("dataset", "digest", read_dataset(run).digest)
        for name, text in _read_split(run).items():
            search = search.equal("params", name, text)
        return search

    def on_other_rows(self, run: Run) -> RunSearch:
        """Return the search without runs that the same rows judge, as far as MLflow's syntax can say it."""
        split = run.data.tags.get(SPLIT_TAG, "")
        return self.where(f"tags.`{SPLIT_TAG}` != '{split}'") if split else self

    def fetch(self, most: int, *, order: str = NEWEST_FIRST) -> tuple[list[Run], bool]:
        """Return the first runs, and whether the store may have more."""
        runs: list[Run] = []
        token = None
        while True:
            page = self._fetch_page(max(most, PAGE_RUNS) if self.texts or token else most, order, token)
            runs += [run for run in page if self._matches(run)]
            token = page.token
            if len(runs) >= most or not token:
                return runs[:most], len(runs) > most or bool(token)

    def _matches(self, run: Run) -> bool:
        """Tell whether a run meets what the store was not asked."""
        if self.without_pruned and PRUNED_TAG in run.data.tags:
            return False
        return all(_read(run, entity, name) == text for entity, name, text in self.texts)

    def _fetch_page(self, size: int, order: str, token: str | None) -> Any:
        from mlflow.exceptions import MlflowException

        condition = " AND ".join(self.conditions)
        try:
            return self.client.search_runs(
                list(self.experiment_ids), condition, max_results=size, order_by=[order], page_token=token
            )
        except MlflowException as error:
            reason = error.message.strip().splitlines()[0]
            if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise LabError(f"The store cannot read the search {condition!r}: {reason} {SEARCH_HELP}") from None
            raise LabError(f"The store failed to search its runs: {reason}") from None


def search_experiments(client: MlflowClient, names: Sequence[str] = (), *, without: str = "") -> RunSearch:
    """Return a search of the named experiments, or of all but one if none is named.

    Raises
    ------
    LabError
        If the store has no experiment of a name.
    """
    from mlflow.utils import get_results_from_paginated_fn

    found = get_results_from_paginated_fn(lambda most, token: client.search_experiments(max_results=most, page_token=token), 1000)
    known = {experiment.name: experiment.experiment_id for experiment in found}
    for name in names:
        if name not in known:
            shown = ", ".join(sorted(known)[:30])
            raise LabError(f"The store has no experiment {name!r}.{suggest(name, known)} It has: {shown}.")
    chosen = [known[name] for name in names] if names else [number for name, number in known.items() if name != without]
    return RunSearch(client, tuple(chosen))


def find_named(client: MlflowClient, names: Sequence[str]) -> list[Run]:
    """Return the runs of the given ids or names, in that order; of several runs of one name, the newest.

    A name such as ``models:/NAME@production`` or ``models:/NAME/3`` is the run of a version of a registered model.

    Raises
    ------
    LabError
        If the store has no run of that id or name, or no such version.
    """
    search = search_experiments(client)
    ids = [name for name in names if re.fullmatch(r"[\w-]+", name)]
    wanted = ", ".join(f"'{run_id}'" for run_id in ids)
    found = search.where(f"attributes.run_id IN ({wanted})").fetch(len(ids))[0] if ids else []
    known = {run.info.run_id: run for run in found}
    named = [
        find_version_run(client, name) if name.startswith(VERSION) else known.get(name) or _find_by_name(search, name)
        for name in names
    ]
    return list({run.info.run_id: run for run in named}.values())


def find_siblings(client: MlflowClient, run: Run, *, metric: str, params: Sequence[str]) -> list[Run]:
    """Return at most 100 finished runs on a run's rows, in its experiment, that have equal values of the given parameters."""
    search = RunSearch(client, (run.info.experiment_id,), ("attributes.status = 'FINISHED'", f"metrics.`{metric}` {HAS_VALUE}"))
    for name in params:
        search = search.equal("params", name, run.data.params[name]) if name in run.data.params else search
    return [other for other in search.fetch(100)[0] if read_rows(other) == read_rows(run)]


def read_dataset(run: Run) -> Dataset:
    """Return the data set that a run recorded."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Dataset(inputs[0].dataset.name, inputs[0].dataset.digest) if inputs else Dataset()


def read_rows(run: Run, metric: str = "") -> Rows:
    """Return the rows that judge a run; of runs of earlier versions, the data set with the parameters that split it.

    If the metric is that of a cross-validation, runs whose folds were drawn in another way are on other rows: their models know
    more rows, or fewer.
    """
    rows, folding = _read_rows(run), read_folding(run)
    if not metric.startswith("cv_") or not rows.digest:
        return rows
    return Rows(f"{rows.digest} {folding}", f"{rows.dataset}, {folding[0]} folds")


def read_folding(run: Run) -> tuple[str, ...]:
    """Return the parameters of a run that decide how much the model of a fold knows, the number of folds first."""
    return tuple(run.data.params.get(name, "") for name in FOLDING)


def _read_rows(run: Run) -> Rows:
    dataset = read_dataset(run)
    if SPLIT_TAG in run.data.tags:
        return Rows(run.data.tags[SPLIT_TAG], dataset.name)
    text = repr((dataset.digest, _read_split(run)))
    return Rows(hashlib.sha256(text.encode()).hexdigest()[:DIGITS], dataset.name) if dataset.digest else NO_ROWS


def _read_split(run: Run) -> dict[str, str]:
    return {name: run.data.params[name] for name in SPLIT_PARAMS if name in run.data.params}


def _read(run: Run, entity: str, name: str) -> str | None:
    """Return the text of a field of a run."""
    if entity == "attributes":
        return str(getattr(run.info, name))
    text = getattr(read_dataset(run), name) if entity == "dataset" else getattr(run.data, entity).get(name)
    return None if text is None else str(text)


def _find_by_name(search: RunSearch, name: str) -> Run:
    found, _ = search.equal("attributes", "run_name", name).fetch(1)
    if found:
        return found[0]
    known = [text for run in search.fetch(KNOWN_RUNS)[0] for text in (run.info.run_name, run.info.run_id)]
    raise LabError(f"The store has no run of the id or name {name!r}.{suggest(name, known)} Copy one from the run's page.")
