"""Summaries of a run: what a terminal and the last cell of a notebook say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.runs import make_facts

from boostlab.errors import StoreError
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import find_store
from boostlab.tracking.summary import describe_loss, describe_outcome, read_results, tabulate_run
from boostlab.tracking.ui import MlflowUI

Begin = Callable[..., Journal]
Owned: Any = type("Owned", (SimpleNamespace,), {})  # the part of an owner that a summary reads
FACTS = make_facts(run_name="a_b", run_id="r", experiment_id="1", ui=MlflowUI(command="make ui"))


def test_says_how_a_run_ended_and_where_it_is(tmp_path: Path, begin: Begin) -> None:
    journal = begin(find_store("", project=tmp_path), ui=MlflowUI(command="make ui"), run_id="r", experiment_id="1")
    journal.add("metrics", {"points": [["valid_rmse", 9.0, 0, 0]], "final": False})
    journal.add("metrics", {"points": [["test_rmse", 1.25, 0, 0]], "final": True})
    journal.add("tags", {"boostlab.findings": "[]", "boostlab.task": "regression"})
    journal.add("tags", {"boostlab.findings": '["Few\\nrows."]'})
    journal.add_receipt(journal.add("model", {"name": "model", "register_as": "sugar"}), {"version": 3})
    text = describe_outcome(journal.facts(), read_results(journal), status="FAILED", reason="A cell raised DataError.")
    first, *lines = text.splitlines()
    assert first.startswith("Run a run: FAILED after ") and first.endswith(" s. A cell raised DataError.")
    assert lines[:3] == [f"  {'test_rmse':<28}1.25", "  finding: Few rows.", "  registered as sugar version 3"]
    assert lines[-1] == "  see http://127.0.0.1:5000/#/experiments/1/runs/r while this runs: make ui"
    assert "valid_rmse" not in "".join(lines)


@pytest.mark.parametrize(("address", "prefix"), [("sqlite:////x.db", ""), ("http://me:abcd@h", "MLFLOW_TRACKING_URI=ADDRESS ")])
def test_says_how_to_deliver_a_run_whose_store_is_lost(tmp_path: Path, begin: Begin, address: str, prefix: str) -> None:
    store = find_store(address, project=tmp_path)
    journal = begin(store)
    text = describe_loss(Owned(journal=journal, store=store, facts=journal.facts()), "FINISHED", StoreError("It is gone."))
    assert text.startswith("It is gone.\nThe run a run ended FINISHED.") and str(journal.path) in text
    assert text.endswith(f"run: {prefix}boostlab deliver {journal.path.name}")
    assert "abcd" not in text


@pytest.mark.parametrize(
    ("model", "register_as", "words"),
    [
        ({}, "", r"`runs:/r/model`"),
        ({"model_id": "m-1"}, "", "[model](http://127.0.0.1:5000/#/experiments/1/models/m-1) (`runs:/r/model`)"),
        ({"version": 2}, "su_gar", r"[su\_gar version 2](http://127.0.0.1:5000/#/models/su_gar/versions/2)"),
        ({}, "sugar", "`sugar`, no version yet: the store is lost"),
    ],
)
def test_links_to_the_run_and_to_its_model(model: dict[str, object], register_as: str, words: str) -> None:
    table = tabulate_run(FACTS, model, register_as)
    assert words in table
    assert r"[a\_b](http://127.0.0.1:5000/#/experiments/1/runs/r) (`r`)" in table
    assert "work while this runs: `make ui`" in table
