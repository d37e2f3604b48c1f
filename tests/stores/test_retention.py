"""Which runs a real store needs, and what deleting the others leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.entities import LoggedModelInput
from tests.stores.conftest import Open, find_run, promote
from tests.support.registry import add_run
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore, all_runs

from boostlab.cli import main
from boostlab.errors import LabError
from boostlab.models.loading import load_version
from boostlab.models.registration import register_run
from boostlab.registry.view import view_model
from boostlab.stores import delete_unneeded, find_unneeded
from boostlab.tracking.store import OpenStore


def names(store: OpenStore, days: float = 0, experiments: Sequence[str] = ()) -> set[str]:
    return {each.run.name for each in find_unneeded(store, days=days, experiments=experiments)}


def test_what_a_version_or_another_run_names_is_kept(source: OpenStore) -> None:
    client = source.client
    kept = {version.run_id for version in client.search_model_versions("name = 'sugar'")}
    (loose,) = [run.info.run_name for run in all_runs(client) if run.outputs.model_outputs and run.info.run_id not in kept]
    free = add_run(client)
    assert names(source) == {"parent", "child", loose, client.get_run(free).info.run_name}
    # What the history of stages names is needed, although nothing else names it.
    promote(source, 3, "test", free)
    assert names(source) == {"parent", "child", loose}
    # A run that is going on needs its parent, and the model that it judges.
    plain, parent = client.get_experiment_by_name("plain").experiment_id, find_run(source, "parent").info.run_id
    young = client.create_run(plain, run_name="young", tags={"mlflow.parentRunId": parent}).info.run_id
    assert names(source) == {"child", loose}
    unused = next(run for run in all_runs(client) if run.info.run_name == loose)
    client.log_inputs(young, models=[LoggedModelInput(unused.outputs.model_outputs[0].model_id)])
    assert names(source) == {"child"}
    assert names(source, experiments=["plain"]) == {"child"}
    # The run `parent` ended years ago, but a younger one needs it.
    client.set_terminated(young)
    assert names(source, days=1 / 24) == set()


def test_the_rest_of_the_store_works_after_it(source: OpenStore, tmp_path: Path) -> None:
    found = find_unneeded(source, days=0)
    before = sum(path.stat().st_size for path in (tmp_path / "source" / "mlartifacts").rglob("*") if path.is_file())
    assert list(delete_unneeded(source, found)) == found and found
    after = sum(path.stat().st_size for path in (tmp_path / "source" / "mlartifacts").rglob("*") if path.is_file())
    assert before - after == sum(each.size_bytes for each in found) > 0
    assert find_unneeded(source, days=0) == []
    for number in (1, 3):
        assert load_version(source.client, "sugar", number) is not None
        version = source.client.get_model_version("sugar", str(number))
        assert source.client.get_run(version.run_id).info.lifecycle_stage == "active"
    assert view_model(source.client, "sugar").version_by_stage == {"production": 1}


def test_a_version_that_was_registered_meanwhile_saves_its_run(source: OpenStore) -> None:
    run_id = add_run(source.client)
    found = find_unneeded(source, days=0)
    assert run_id in [each.run.id for each in found]
    register_run(source.client, run_id, "saved")
    assert run_id not in [each.run.id for each in delete_unneeded(source, found)]
    assert load_version(source.client, "saved", 1) is not None


def test_artifacts_of_deleted_runs_go_too(source: OpenStore) -> None:
    run_id = add_run(source.client)
    source.client.delete_run(run_id)
    found = find_unneeded(source, days=0)
    (deleted,) = [each for each in found if each.run.id == run_id]
    assert deleted.size_bytes > 1000 and len(deleted.models) == 1
    list(delete_unneeded(source, found))
    assert find_unneeded(source, days=0) == []


def test_a_server_deletes_its_artifacts(tmp_path: Path, new_store: NewStore, open_at: Open) -> None:
    with serve_mlflow(tmp_path / "served", new_store) as address:
        store = open_at(address)
        run_id = add_run(store.client)
        assert [each.run.id for each in delete_unneeded(store, find_unneeded(store, days=0))] == [run_id]
        assert not [path for path in (tmp_path / "served" / "kept").rglob("*") if path.is_file()]


def test_the_command_deletes_only_if_told(source: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, ["prune", "--tracking-uri", source.uri, *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "0 runs with 0 bytes" in run()  # in 90 days
    assert "would be deleted; to delete them, add --yes" in run("--days", "0")
    assert len(find_unneeded(source, days=0)) > 1
    assert "were deleted" in run("--days", "0", "--yes")
    assert find_unneeded(source, days=0) == []
    with pytest.raises(LabError, match="-1 days is no age"):
        find_unneeded(source, days=-1)
