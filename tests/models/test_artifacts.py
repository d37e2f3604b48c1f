"""What is said of artifacts that cannot be read: gone only if the store says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from tests.support.registry import copy_version
from tests.support.servers import serve_database, serve_mlflow
from tests.support.stores import NewStore
from tests.support.team import serve_s3

from boostlab.errors import StoreError
from boostlab.evaluation.holdout import fetch_holdout
from boostlab.models.artifacts import fetch_artifact
from boostlab.models.loading import fetch_version
from boostlab.tracking.store import find_store, open_store


@pytest.fixture
def client(store: str, tmp_path: Path) -> Any:
    """Return a client of a store with one registered version."""
    opened = open_store(find_store(store, project=tmp_path)).client
    copy_version(opened, "sugar")
    return opened


def place(client: Any) -> Path:
    return Path(unquote(urlsplit(client.get_model_version_download_uri("sugar", "1")).path))


def test_artifacts_that_were_deleted_are_gone(client: Any) -> None:
    shutil.rmtree(place(client))
    with pytest.raises(StoreError, match=r"version 1 of sugar are gone: .*Restore them, or train and register again") as caught:
        fetch_version(client, "sugar", 1)
    assert caught.value.kind == "gone"


def test_artifacts_on_a_disk_that_is_not_mounted_are_not_gone(client: Any) -> None:
    run_id = client.get_model_version("sugar", "1").run_id
    root = next(folder for folder in place(client).parents if folder.name == "mlartifacts")
    root.rename(root.with_name("away"))
    for read in (lambda: fetch_version(client, "sugar", 1), lambda: fetch_holdout(client, run_id)):
        with pytest.raises(StoreError, match=r"is its disk not mounted.*Do not train again") as caught:
            read()
        assert caught.value.kind == "lost"
    assert not root.exists()


@pytest.mark.slow
def test_artifacts_on_s3_are_gone_only_if_s3_says_so(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_s3("artifacts") as access:
        options = ["--no-serve-artifacts", "--default-artifact-root", "s3://artifacts/lab"]
        with serve_database(new_store(tmp_path), *options, **access) as address:
            for name, value in access.items():
                monkeypatch.setenv(name, value)
            client = open_store(find_store(address, project=tmp_path)).client
            copy_version(client, "sugar")
            run_id = client.get_model_version("sugar", "1").run_id
            assert fetch_holdout(client, run_id)
            with monkeypatch.context() as patch:
                patch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
                patch.setenv("AWS_MAX_ATTEMPTS", "1")
                for read in (lambda: fetch_version(client, "sugar", 1), lambda: fetch_holdout(client, run_id)):
                    with pytest.raises(StoreError, match=r"cannot be read: .*127.0.0.1:9.*do not train again") as caught:
                        read()
                    assert caught.value.kind == "lost"
            bucket = boto3.resource("s3", endpoint_url=access["MLFLOW_S3_ENDPOINT_URL"]).Bucket("artifacts")
            bucket.objects.all().delete()
            with pytest.raises(StoreError, match=r"are gone: .*train and register again") as caught:
                fetch_version(client, "sugar", 1)
            assert caught.value.kind == "gone"


def test_a_server_tells_of_an_artifact_in_each_folder(tmp_path: Path, new_store: NewStore) -> None:
    with serve_mlflow(tmp_path, new_store) as address:
        client = open_store(find_store(address, project=tmp_path)).client
        run_id = client.create_run(client.create_experiment("served")).info.run_id
        for path in ("model_card.md", "evaluation/slices.json"):
            assert fetch_artifact(client, run_id, path, Path.read_text) is None
            client.log_text(run_id, path, path)
            assert fetch_artifact(client, run_id, path, Path.read_text) == path
