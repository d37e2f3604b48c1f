"""Trainings side by side share the cores."""

from __future__ import annotations

import os

import pytest
from tests.support.settings import make_settings

from boostlab.training.side_by_side import share_cores


@pytest.mark.parametrize(
    ("cores", "folds", "nthread", "expected"),
    [(2, 5, 0, (2, 1)), (16, 5, 0, (5, 3)), (4, 5, 2, (2, 2)), (2, 5, 8, (1, 8)), (1, 5, 0, (1, 1))],
)
def test_folds_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, folds: int, nthread: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    assert share_cores(folds, make_settings(folds=folds, nthread=nthread)) == expected
    assert share_cores(folds, make_settings(folds=folds, device="cuda", nthread=nthread))[0] == 1
