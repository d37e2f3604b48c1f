"""The record of a study in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.executions import Look

from boostlab.errors import LabError
from boostlab.sweep import records
from boostlab.sweep.trial import Objective
from boostlab.tracking.facts import STUDY_TAG, SWEEP_TAG

LOSS = [Objective("loss", "minimize")]


def add(client: Any, number: int, status: str, *, x: float, loss: float | None = None) -> None:
    tags = {STUDY_TAG: "mine", records.NUMBER_TAG: str(number), records.POINT_TAG: json.dumps({"x": x})}
    run = client.create_run("0", tags=tags)
    if loss is not None:
        client.log_metric(run.info.run_id, "loss", loss)
    client.set_terminated(run.info.run_id, status)


def test_each_number_counts_once_and_interrupted_trials_do_not(look: Look) -> None:
    client = look()
    add(client, 0, "FINISHED", x=0.1, loss=3.0)
    add(client, 1, "KILLED", x=0.2, loss=1.0)
    add(client, 1, "FINISHED", x=0.3, loss=2.0)
    add(client, 1, "FINISHED", x=0.4, loss=1.0)
    add(client, 3, "FAILED", x=0.5)
    add(client, 4, "KILLED", x=0.6)
    runs = records.fetch_runs(client, "mine")
    trials = records.read_trials(runs, LOSS)
    assert [(trial.number, trial.state, trial.values) for trial in trials] == [
        (0, "complete", (3.0,)),
        (1, "complete", (2.0,)),
        (3, "failed", ()),
    ]
    assert records.find_interrupted(runs) == [{"x": 0.2}, {"x": 0.6}], "a number may be given again, to another point"


def test_marks_trials_that_had_other_values_of_what_is_not_searched(look: Look) -> None:
    client = look()
    for number, rounds in enumerate((50, 5000)):
        add(client, number, "FINISHED", x=0.1 * number, loss=1.0)
        (run,) = client.search_runs(["0"], order_by=["attributes.start_time DESC"], max_results=1)
        client.log_param(run.info.run_id, "rounds", rounds)
        client.log_param(run.info.run_id, "x", number)
    runs = records.fetch_runs(client, "mine")
    trials = records.read_trials(runs, LOSS, given={"rounds": "5000", "x": "7", "new": "1"})
    assert [trial.differing for trial in trials] == [("rounds",), ()]
    client.log_param(runs[0].info.run_id, "login", "***")
    trials = records.read_trials(records.fetch_runs(client, "mine"), LOSS, given={"login": "ana"})
    assert [trial.differing for trial in trials] == [(), ()], "what the run has masked cannot be compared"


def test_marks_trials_of_other_code(look: Look) -> None:
    client = look()
    for number in range(2):
        add(client, number, "FINISHED", x=0.1 * number, loss=1.0)
    runs = records.fetch_runs(client, "mine")
    client.set_tag(runs[0].info.run_id, records.CODE_TAG, "old")
    runs = records.fetch_runs(client, "mine")
    assert [trial.is_comparable for trial in records.read_trials(runs, LOSS, code="new")] == [False, True], "one does not tell it"
    assert [trial.is_comparable for trial in records.read_trials(runs, LOSS, code="old")] == [True, True]


def test_a_finished_trial_without_the_metric_is_failed(look: Look) -> None:
    client = look()
    add(client, 0, "FINISHED", x=0.1)
    (trial,) = records.read_trials(records.fetch_runs(client, "mine"), LOSS)
    assert trial.state == "failed" and trial.reason == "The run recorded no metric loss."


def test_a_study_is_searched_once_at_a_time(look: Look) -> None:
    client = look()
    own, other = (client.create_run("0", tags={SWEEP_TAG: "it's", "boostlab.host": "far"}).info.run_id for _ in range(2))
    with pytest.raises(LabError, match=f"mlflow runs delete --run-id {other}"):
        records.wait_for_others(client, "it's", own=own)
    client.set_terminated(other, "KILLED")
    records.wait_for_others(client, "it's", own=own)
