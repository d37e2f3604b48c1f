from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.postgresql import NewDatabase
from tests.support.registry import copy_version
from tests.support.transitions import check_history, run_processes

from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store


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
    for _ in range(3):
        copy_version(client, name)
    reports = run_processes(address, name, folder, seeds=range(3), count=8)
    assert len(reports) == 24
    check_history(view_model(client, name), reports)
