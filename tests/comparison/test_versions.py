from __future__ import annotations

from typing import Any

import pytest
from tests.support.registry import copy_version

from boostlab.comparison.search import find_named
from boostlab.comparison.versions import find_version_run
from boostlab.errors import LabError


def test_finds_the_run_of_a_version_by_stage_and_number(client: Any) -> None:
    copy_version(client, "homes")
    client.set_registered_model_alias("homes", "production", 1)
    made = client.get_model_version("homes", "1").run_id

    assert find_version_run(client, "models:/homes@production").info.run_id == made
    assert [run.info.run_id for run in find_named(client, ["models:/homes/1"])] == [made]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("models:/homes", "'models:/homes' names no version. It takes models:/NAME@production, another stage"),
        ("models:/homes@staging", "The store has no version models:/homes@staging, or not its run."),
        ("models:/cars/1", "The store has no version models:/cars/1"),
    ],
)
def test_refuses_what_is_no_version(client: Any, address: str, message: str) -> None:
    copy_version(client, "homes")
    with pytest.raises(LabError, match=message):
        find_version_run(client, address)
