from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import read_names, record_run, scores

from boostlab.comparison import search
from boostlab.comparison.search import find_named, find_siblings, search_experiments
from boostlab.errors import LabError

TEXTS = [
    *("{'sampling_method': 'uniform'}", '{"a": "b"}', "both ' and \"", "'", '"', "`tick`", "100 % of_it", "%", "_"),
    *("C:\\data\\", r"a\'b", "one\ntwo", "\nstarts with a line break", "tab\there", "🎉 é 漢字", "a; b -- c", "x AND y = 'z'"),
    *("*(){}[]", "x" * 5000, "y'" * 2500, "", " "),
]


@pytest.fixture(scope="module")
def filled(client_of_each_store: Any) -> Any:
    """Return a store with two runs of each text, and one of a text that differs in the special characters alone."""
    for number, text in enumerate(TEXTS):
        for seed, value in enumerate((text, text, text.replace("'", "x").replace('"', "x").replace("\n", "x") + "z")):
            record_run(client_of_each_store, f"{number}-{seed}", metrics=scores(1), seed=seed, text=value)
    return client_of_each_store


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_finds_the_runs_whose_parameter_has_the_same_text(filled: Any, number: int) -> None:
    (run,) = find_named(filled, [f"{number}-0"])

    assert run.data.params["text"] == TEXTS[number]
    assert sorted(read_names(find_siblings(filled, run, metric="test_rmse", params=["text"]))) == [f"{number}-0", f"{number}-1"]


def test_finds_runs_of_any_name_or_notebook(filled: Any) -> None:
    names = ["it's", 'a "b"', "both ' and \"", "100 %", "`a`"]
    ids = [record_run(filled, name, notebook=name) for name in names]
    record_run(filled, "both x and x", notebook="both x and x")

    assert [run.info.run_id for run in find_named(filled, names)] == ids
    for name, run_id in zip(names, ids, strict=True):
        runs, has_more = search_experiments(filled).equal("tags", "boostlab.notebook", name).fetch(5)
        assert ([run.info.run_id for run in runs], has_more) == ([run_id], False)


def test_finds_the_newest_run_of_a_name(client: Any) -> None:
    record_run(client, "a")
    newest = record_run(client, "a")
    other = record_run(client, "b")

    assert [run.info.run_id for run in find_named(client, [other, "a", newest])] == [other, newest]


def test_goes_through_all_pages_if_the_store_cannot_compare_the_text(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_RUNS", 2)
    wanted = record_run(client, "first", text="it's")
    for number in range(5):
        record_run(client, f"{number}", text="it_s")

    runs, has_more = search_experiments(client).equal("params", "text", "it's").fetch(1)

    assert ([run.info.run_id for run in runs], has_more) == ([wanted], False)


@pytest.mark.parametrize(("name", "message"), [("train-one", "Did you mean 'train-1'?"), ("it's", "no run of the id or name")])
def test_names_the_nearest_run_if_there_is_none(client: Any, name: str, message: str) -> None:
    record_run(client, "train-1")

    with pytest.raises(LabError) as caught:
        find_named(client, [name])
    assert repr(name) in str(caught.value) and message in str(caught.value)
