"""Selection, tables, words and pictures of runs, on real stores of all three kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import make_facts
from tests.support.servers import serve_mlflow

from boostlab.comparison import summary as findings, tables as comparison
from boostlab.comparison.selection import Data, find_named, select_runs
from boostlab.errors import LabError
from boostlab.tracking.store import find_store, open_store
from boostlab.tracking.ui import MlflowUI

Add = Callable[..., str]


@pytest.fixture(params=["sqlite", "file", "http"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Yield a client of an empty store of each kind."""
    addresses = {"sqlite": f"sqlite:///{tmp_path}/mlflow.db", "file": f"file://{tmp_path}/mlruns"}
    served: AbstractContextManager[str] = (
        serve_mlflow(tmp_path) if request.param == "http" else nullcontext(addresses[request.param])
    )
    with served as address:
        yield open_store(find_store(address, project=tmp_path)).client


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    """Return a client of an empty SQLite store."""
    return open_store(find_store(f"sqlite:///{tmp_path}/mlflow.db", project=tmp_path)).client


def add(
    client: Any,
    name: str,
    *,
    digest: str = "d1",
    notebook: str = "train",
    experiment: str = "train",
    status: str = "FINISHED",
    metrics: dict[str, float] | None = None,
    **params: object,
) -> str:
    """Record a run as the train notebook does, without files."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    known = client.get_experiment_by_name(experiment)
    number = known.experiment_id if known else client.create_experiment(experiment)
    add.clock += 1000  # type: ignore[attr-defined]
    tags = {"boostlab.notebook": notebook, "boostlab.task": "regression"}
    run_id = client.create_run(number, start_time=add.clock, tags=tags, run_name=name).info.run_id  # type: ignore[attr-defined]
    values = {"eta": 0.1, "seed": 0, "run_name": name, **params}
    points = [Metric(key, value, add.clock, 0) for key, value in (metrics or {}).items()]  # type: ignore[attr-defined]
    client.log_batch(run_id, metrics=points, params=[Param(key, str(value)) for key, value in values.items()])
    if digest:
        dataset = Dataset(name=f"table {digest}", digest=digest, source_type="local", source="{}")
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.set_terminated(run_id, status, add.clock + 2500)  # type: ignore[attr-defined]
    return str(run_id)


add.clock = 0  # type: ignore[attr-defined]  # milliseconds


def rmse(value: float) -> dict[str, float]:
    return {"test_rmse": value, "test_r2": 1 - value / 10}


def names(selection: Any) -> list[str]:
    return [run.info.run_name for run in selection.runs]


def test_ranks_the_finished_runs_of_one_notebook_on_the_newest_runs_data(client: Any) -> None:
    add(client, "other-data", digest="d2", metrics=rmse(1))
    for name, value in (("b", 3.0), ("c", 4.0), ("a", 2.0)):
        add(client, name, metrics=rmse(value), eta=value)
    add(client, "failed", metrics=rmse(0.1), status="FAILED")
    add(client, "without", metrics={"rows": 3})
    add(client, "comparing", metrics=rmse(0.1), notebook="compare", experiment="compare")

    found = select_runs(client, notebook="train", metric="test_rmse", how_many=2)

    assert (names(found), found.data, found.has_more) == (["a", "b"], Data("table d1", "d1"), True)
    assert {str(data): run.info.run_name for data, run in found.others.items()} == {"table d2 · d2": "other-data"}
    assert names(select_runs(client, runs=["b", found.runs[0].info.run_id])) == ["a", "b"]
    with pytest.raises(LabError, match="cannot read the search"):
        select_runs(client, search="metrics.test_rmse >")


def test_a_higher_r2_is_better_and_a_search_narrows(plain: Any) -> None:
    for name, value in (("a", 2.0), ("b", 3.0), ("c", 4.0)):
        add(plain, name, metrics=rmse(value), eta=value)

    assert names(select_runs(plain, metric="test_r2")) == ["a", "b", "c"]
    assert names(select_runs(plain, metric="test_r2", direction="lower")) == ["c", "b", "a"]
    assert names(select_runs(plain, search="params.eta = '3.0'")) == ["b"]


def test_finds_runs_by_id_and_by_name_whatever_their_notebook(plain: Any) -> None:
    first = add(plain, "a", metrics=rmse(3), notebook="mine")
    add(plain, "b", metrics=rmse(2), status="FAILED")
    add(plain, "c", metrics={"rows": 1})

    found = select_runs(plain, runs=[first, "b", "c", "a"], notebook="train")

    assert names(found) == ["b", "a"]
    assert found.lacking == ("c",)
    assert "Left out, as they do not have that metric: `c`." in findings.describe_selection(found)


def test_all_seeds_of_a_configuration_count(plain: Any) -> None:
    for seed, value in enumerate((2.0, 5.0, 5.0)):
        add(plain, f"lucky-{seed}", metrics=rmse(value), eta=0.3, seed=seed)
        add(plain, f"steady-{seed}", metrics=rmse(3.0 + seed / 10), eta=0.1, seed=seed)

    groups = comparison.group_seeds(plain, select_runs(plain, how_many=2))

    assert [(group.label, sorted(group.values.values())) for group in groups] == [
        ("eta 0.1", [3.0, 3.1, 3.2]),
        ("eta 0.3", [2.0, 5.0, 5.0]),
    ]


def test_few_runs_of_rare_data_are_found_among_many(plain: Any) -> None:
    for number in range(150):
        add(plain, f"other-{number}", digest="d2", metrics=rmse(1))
    for name, value in (("a", 2.0), ("b", 3.0)):
        add(plain, name, metrics=rmse(value))

    assert names(select_runs(plain, how_many=5)) == ["a", "b"]


def test_tells_runs_on_different_data_apart_where_they_are_named(plain: Any) -> None:
    for name, digest in (("a", "d1"), ("b", "d1"), ("c", "d2"), ("d", "")):
        add(plain, name, digest=digest, metrics=rmse(2))

    found = select_runs(plain, runs=["d", "c", "b", "a"])

    assert sorted(names(found)) == ["a", "b"]
    assert set(map(str, found.others)) == {"table d2 · d2", "data not recorded"}


def test_the_table_has_what_differs_and_what_came_of_it(plain: Any) -> None:
    add(plain, "a", metrics={**rmse(2), "best_iteration": 7, "fit_time_s": 0.5}, eta=0.3, max_depth=4, tracking_uri="x")
    add(plain, "b", metrics=rmse(3), max_depth=4, tracking_uri="y")

    table = comparison.tabulate_runs(select_runs(plain))

    assert list(table.columns) == [
        *("run", "eta", "test_rmse", "test_r2", "best_iteration", "fit_time_s", "duration (s)", "data", "run id")
    ]
    assert list(table.loc[1, ["run", "eta", "test_rmse", "duration (s)", "data"]]) == ["a", 0.3, 2.0, 2.5, "table d1 · d1"]


def test_chooses_the_best_and_the_best_of_another_configuration(plain: Any) -> None:
    for name, value, eta in (("a", 2.0, 0.1), ("b", 3.0, 0.1), ("c", 4.0, 0.3)):
        add(plain, name, metrics=rmse(value), eta=eta)
    selection = select_runs(plain)

    assert [run.info.run_name for run in comparison.choose_pair(plain, selection)] == ["c", "a"]
    assert [run.info.run_name for run in comparison.choose_pair(plain, selection, challenger="b")] == ["c", "b"]
    pair = comparison.choose_pair(plain, selection, champion="a", challenger="b")
    assert [run.info.run_name for run in pair] == ["a", "b"]
    assert list(comparison.tabulate_parameters(*comparison.choose_pair(plain, selection)).loc["eta"]) == ["0.3", "0.1"]


@pytest.mark.parametrize("count", [0, 1])
def test_with_no_run_or_one_it_says_what_to_do_first(plain: Any, count: int) -> None:
    for number in range(count):
        add(plain, f"run-{number}", metrics=rmse(2))
    selection = select_runs(plain)

    assert comparison.choose_pair(plain, selection) == ()
    assert 'make train ARGS="-p eta 0.3"' in findings.describe_selection(selection)
    assert "no two runs" in str(findings.compare_models(plain, (), metric="test_rmse"))


def test_markup_in_names_stays_text(plain: Any) -> None:
    add(plain, "a`<b>|x\n", metrics=rmse(2))
    facts = make_facts(ui=MlflowUI("http://host/"), experiment_id="1", run_id="2", run_name="compare-1")
    words = findings.describe_result(select_runs(plain), "", facts=facts)

    assert r"[a\`\<b\>\|x](http://host/#/experiments/" in words
    assert r"[compare\-1](http://host/#/experiments/1/runs/2)" in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiments": ["trian"]}, "The store has no experiment 'trian'. Did you mean 'train'? It has: Default, train"),
        ({"runs": ["train-one"]}, "The store has no run of the id or name 'train-one'. Did you mean 'train-1'?"),
        (
            {"metric": "test_rmsle"},
            "No run that matches has the metric 'test_rmsle'. Did you mean 'test_rmse'? train-1 has: test",
        ),
        ({"metric": "mine"}, "Whether a higher or a lower 'mine' is better is not known"),
        ({"metric": "mine", "direction": "lower"}, "No run that matches has the metric 'mine'. train-1 has: test_r2, test_rmse"),
        ({"runs": ["train-1"], "metric": "test_mae"}, "No run that matches has the metric 'test_mae'"),
        ({"search": "metrics.test_rmse >"}, "cannot read the search"),
        ({"search": "metrics.test_rmse < 3 OR params.eta = '1'"}, "It takes MLflow's search syntax, such as"),
        ({"runs": ["it's"]}, "holds a quotation mark"),
    ],
)
def test_says_what_is_wrong_and_what_there_is(plain: Any, options: dict[str, Any], message: str) -> None:
    add(plain, "train-1", metrics=rmse(2))

    with pytest.raises(LabError) as caught:
        select_runs(plain, **options)
    assert message in str(caught.value)


def test_a_search_that_nothing_matches_is_no_error(plain: Any) -> None:
    add(plain, "a", metrics=rmse(2))

    assert select_runs(plain, search="metrics.test_rmse < 1").runs == ()


def test_says_that_a_run_has_none_of_the_usual_metrics(plain: Any) -> None:
    add(plain, "a", metrics={"score": 1})

    with pytest.raises(LabError, match="Name a metric, as -p metric NAME"):
        select_runs(plain)


def test_refuses_to_register_what_is_not_there(plain: Any) -> None:
    with pytest.raises(LabError, match="there is no run whose model could be registered"):
        findings.register_best(plain, select_runs(plain), "sugar")
    add(plain, "a", metrics=rmse(2))
    with pytest.raises(LabError, match="logged no model"):
        findings.register_best(plain, select_runs(plain), "sugar")


def test_says_why_two_runs_cannot_be_compared_row_by_row(plain: Any) -> None:
    for name in ("a", "b"):
        add(plain, name, metrics=rmse(2))
    pair = find_named(plain, ["a", "b"])

    assert "kept no test rows" in str(findings.compare_models(plain, pair, metric="test_rmse"))
