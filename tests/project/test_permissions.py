"""What a command leaves follows its umask: files that nobody else may read stay private."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.paths import PROJECT


@pytest.fixture
def private() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.slow
@pytest.mark.usefixtures("private")
def test_nothing_that_a_training_leaves_can_be_read_by_others(papermill: Callable[..., Any], tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = papermill(
        PROJECT / "notebooks" / "train.ipynb", "out/train.ipynb", "-p", "num_boost_round", 5,
        "-p", "tracking_uri", f"sqlite:///{tmp_path}/mlflow.db", **state,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    left = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
    assert {"train.ipynb", "mlflow.db", "model.ubj", "train.html"} <= {path.name for path in left}
    assert [path for path in left if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
