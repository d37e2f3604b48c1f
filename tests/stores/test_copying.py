"""Copies between real stores, compared through plain MLflow clients."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from tests.stores.conftest import ODD, Open, fill, find_run, forget_places, promote, summarise
from tests.support.postgresql import new_database  # noqa: F401
from tests.support.registry import add_version
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore, all_runs, read_artifact
from tests.support.team import make_store
from tests.support.waiting import wait_until

from boostlab.errors import LabError
from boostlab.registry.view import view_model
from boostlab.stores import copy_store
from boostlab.stores.contents import COPIED_FROM
from boostlab.tracking.store import OpenStore

KINDS = ("sqlite", "file", "postgresql", "server", "server with S3 beside it")


@pytest.fixture(params=KINDS)
def target(
    request: pytest.FixtureRequest, tmp_path: Path, new_store: NewStore, open_at: Open, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenStore]:
    local = request.param in ("sqlite", "file")
    make_database = _no_database if local else request.getfixturevalue("new_database")
    (tmp_path / "target").mkdir()
    with make_store(request.param, tmp_path / "target", new_store, make_database) as (address, env):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield open_at(address)


def _no_database(**_: object) -> str:
    raise NotImplementedError


def load(store: OpenStore, at: str) -> Any:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store.uri)
    try:
        return mlflow.pyfunc.load_model(at)
    finally:
        mlflow.set_tracking_uri(before)


def answer(store: OpenStore, at: str) -> np.ndarray[Any, Any]:
    model = load(store, at)
    example = pd.DataFrame(model.input_example) if model.input_example is not None else model.metadata.load_input_example()
    return np.asarray(model.predict(example))


def test_a_target_has_all_of_it_and_answers_alone(source: OpenStore, target: OpenStore, tmp_path: Path) -> None:
    expected, answers = summarise(source), answer(source, "models:/sugar@production")
    report = copy_store(source, target)
    assert report.problems == [] and report.has_changed
    assert summarise(target) == expected
    runs = {run.info.run_id: run for run in all_runs(target.client)}
    for run in runs.values():
        assert source.client.get_run(run.data.tags[COPIED_FROM]).info.run_name == run.info.run_name

    again = copy_store(source, target)
    assert again.problems == [] and not again.has_changed
    assert summarise(target) == expected

    shutil.rmtree(tmp_path / "source")
    forget_places()
    view = view_model(target.client, "sugar")
    assert view.version_by_stage == {"production": 1} and view.inferred == []
    assert view.recorded.transitions[0].run_id in runs
    assert np.array_equal(answer(target, "models:/sugar@production"), answers)
    promote(target, 3, "production", "")
    assert [each.version for each in view_model(target.client, "sugar").history.written] == [1, 3]


@pytest.mark.parametrize("kind", ["file", "server"])
def test_copies_from_files_and_from_a_server(kind: str, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    if kind == "file":
        source = open_at(str(tmp_path / "mlruns"))
        _check_copy(source, target)
    else:
        with serve_mlflow(tmp_path / "served", new_store) as address:
            _check_copy(open_at(address), target)


def _check_copy(source: OpenStore, target: OpenStore) -> None:
    fill(source)
    expected = summarise(source)
    assert copy_store(source, target).problems == []
    found = summarise(target)
    for store in (expected, found):  # databases keep an infinite value as the largest one
        curve = store["run parent"]["curves"]["m"]
        store["run parent"]["curves"]["m"] = sorted(point.replace("inf", repr(sys.float_info.max)) for point in curve)
    assert found == expected


def test_a_copy_of_a_copy_is_no_second_run(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    second, third = (open_at(new_store(tmp_path / name)) for name in ("second", "third"))
    copy_store(source, second)
    copy_store(source, third)
    for store, to in ((second, third), (third, source)):
        report = copy_store(store, to)
        assert report.problems == [] and not report.has_changed


def test_a_killed_copy_continues(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    address = new_store(tmp_path / "target")
    expected = summarise(source)
    client = open_at(address).client
    for wanted in (1, 3, 5):  # runs that are complete when the copy is killed
        command = [sys.executable, "-m", "boostlab.cli", "copy", source.uri, address]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def has_come_far(process: subprocess.Popen[bytes] = process, number: int = wanted) -> bool:
            ended = [run for run in all_runs(client) if run.info.status != "RUNNING"]
            return process.poll() is not None or len(ended) >= number

        wait_until(has_come_far)
        process.send_signal(signal.SIGKILL)
        process.wait()
    copy_store(source, open_at(address))
    assert summarise(open_at(address)) == expected


def test_what_differs_is_named_and_left(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    copy_store(source, target)
    parent = find_run(target, "parent")
    (Path(parent.info.artifact_uri.removeprefix("file://")) / "deep/er/file.txt").write_text("changed")
    target.client.set_tag(parent.info.run_id, "boostlab.champion", "mine")
    target.client.set_registered_model_alias("sugar", "production", "3")
    add_version(source.client, "sugar")

    for dry_run in (True, False):
        report = copy_store(source, target, dry_run=dry_run)
        text = "\n".join(report.problems)
        assert "file deep/er/file.txt has another content in the target" in text
        assert "tag boostlab.champion is" in text and "and 'mine' in the target" in text
        assert "registered model sugar: it was changed in the target" in text and "alias production is '1' in the source" in text
        assert target.client.get_run(parent.info.run_id).data.tags["boostlab.champion"] == "mine"
        assert read_artifact(target.client, parent.info.run_id, "deep/er/file.txt") == "changed"
        assert [v.version for v in target.client.search_model_versions("name = 'sugar'")] == [3, 1]
    assert report.counts["run", "copied"] == 1  # the new run itself


def test_what_is_new_in_the_source_is_added(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    copy_store(source, target)
    parent = find_run(source, "parent")
    source.client.log_text(parent.info.run_id, "odd", ODD)
    source.client.set_tag(parent.info.run_id, "mlflow.note.content", "seen")
    add_version(source.client, "sugar", rounds=50)
    open_run = source.client.create_run("0", run_name="open").info.run_id
    report = copy_store(source, target)
    assert report.problems == [] and report.waiting == [f"run open ({open_run}) is RUNNING"]
    assert (report.counts["run", "completed"], report.counts["run", "copied"], report.counts["version", "copied"]) == (1, 1, 1)
    source.client.delete_run(open_run)
    assert summarise(target) == summarise(source)


def test_a_dry_run_writes_nothing(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    before = (tmp_path / "target" / "mlflow.db").read_bytes()
    report = copy_store(source, target, dry_run=True)
    assert (report.counts["run", "copied"], report.counts["model", "copied"], report.counts["version", "copied"]) == (5, 3, 2)
    assert report.size_bytes > 10_000
    assert (tmp_path / "target" / "mlflow.db").read_bytes() == before and not (tmp_path / "target" / "mlartifacts").exists()


def test_one_experiment_takes_the_models_that_are_whole_in_it(
    source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open
) -> None:
    target = open_at(new_store(tmp_path / "target"))
    assert copy_store(source, target, experiments=["plain"]).problems == []
    assert target.client.search_registered_models() == []
    assert copy_store(source, target, experiments=["train"]).problems == []
    assert len(target.client.search_model_versions("name = 'sugar'")) == 2
    with pytest.raises(LabError, match=r"has no experiment 'trian'\. Did you mean 'train'\?"):
        copy_store(source, target, experiments=["trian"])
    with pytest.raises(LabError, match="is both source and target"):
        copy_store(source, source)


def test_gone_artifacts_are_no_empty_run(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    model = source.client.search_logged_models([source.client.get_experiment_by_name("train").experiment_id])[0]
    shutil.rmtree(model.artifact_location.removeprefix("file://"))
    report = copy_store(source, target)
    assert any(f"({model.model_id}): its artifacts are gone" in problem for problem in report.problems)
    assert any(problem.startswith("registered model sugar: ") for problem in report.problems)


def test_the_command_shows_what_it_did(source: OpenStore, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "boostlab.cli", "copy", *words]
        return subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)

    address = f"sqlite:///{tmp_path}/new.db"
    done = run(source.uri, address, "--dry-run")
    assert done.returncode == 0 and "What would be copied" in done.stdout, done.stderr
    assert not (tmp_path / "new.db").exists()
    done = run(source.uri, address)
    assert done.returncode == 0 and "runs               5" in done.stdout, done.stdout + done.stderr
    assert "There was nothing to copy" in run(source.uri, address).stdout
    missing = run(f"sqlite:///{tmp_path}/none.db", address)
    assert missing.returncode == 1 and "none.db does not exist" in missing.stderr and not (tmp_path / "none.db").exists()


def test_a_later_copy_completes_what_an_earlier_one_could_not_name(
    source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open
) -> None:
    target = open_at(new_store(tmp_path / "target"))
    parent = find_run(source, "parent").info.run_id
    promote(source, 3, "test", parent)
    assert copy_store(source, target, experiments=["train"]).problems == []
    assert copy_store(source, target).problems == []
    assert summarise(target) == summarise(source)
    run_ids = {each.run_id for each in view_model(target.client, "sugar").recorded.transitions}
    assert run_ids <= {run.info.run_id for run in all_runs(target.client)}


def test_an_original_that_goes_on_is_no_half_copy(source: OpenStore, tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    target = open_at(new_store(tmp_path / "target"))
    copy_store(source, target)
    parent = find_run(source, "parent").info.run_id
    source.client.update_run(parent, status="RUNNING")
    source.client.set_tag(parent, "boostlab.champion", "new")
    report = copy_store(target, source)
    assert report.problems == [] and not report.has_changed and f"({parent}), the original in the target" in report.waiting[0]
    run = source.client.get_run(parent)
    assert (run.info.status, run.data.tags["boostlab.champion"]) == ("RUNNING", "new")
