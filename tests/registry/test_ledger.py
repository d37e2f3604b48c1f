from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.postgresql import NewDatabase
from tests.support.registry import copy_version
from tests.support.transitions import check_history, run_processes

from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store

TRANSITIONS = int(os.environ.get("BOOSTLAB_TRANSITIONS", "24"))  # in each store; docs/faults.md has the result of many
SEED = int(os.environ.get("BOOSTLAB_SEED", "0"))  # the first of a range as long
ROUND = 300  # of one model: reading a model takes longer, the longer its history is
HOSTS = 3


@pytest.mark.slow
def test_random_transitions_of_several_hosts_leave_one_history(client: Any, address: str, name: str, tmp_path: Path) -> None:
    _check(client, address, name, tmp_path)


@pytest.mark.slow
def test_random_transitions_of_several_hosts_leave_one_history_in_postgresql(
    new_database: NewDatabase, name: str, tmp_path: Path
) -> None:
    address = new_database(made=True)
    _check(open_store(find_store(address, project=tmp_path)).client, address, name, tmp_path)


def _check(client: Any, address: str, name: str, folder: Path) -> None:
    for start in range(0, TRANSITIONS, ROUND):
        model = f"{name}-{start}"
        for _ in range(3):
            copy_version(client, model)
        each = min(ROUND, TRANSITIONS - start) // HOSTS
        reports = run_processes(address, model, folder, seeds=range(SEED + start, SEED + start + HOSTS), count=each)
        assert len(reports) == HOSTS * each
        check_history(view_model(client, model), reports)
        print(f"{start + len(reports)} transitions judged")  # noqa: T201  # with -s: the progress of hours
