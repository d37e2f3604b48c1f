"""What a sweep adds to Optuna's samplers and pruners: seeds, rungs, and the form of values."""

from __future__ import annotations

import warnings

import pytest
from tests.support.sweep import whole

from boostlab.sweep.samplers import find_first_rung, is_rung, make_distribution, make_seed, to_optuna, without_warnings
from boostlab.sweep.space import Dimension


def test_each_seed_number_and_attempt_has_its_own_seed() -> None:
    seeds = {make_seed(seed, number, attempt) for seed in range(5) for number in range(50) for attempt in range(4)}
    assert len(seeds) == 1000 and make_seed(0, 1, 2) == make_seed(0, 1, 2) and max(seeds) < 2**32


@pytest.mark.parametrize(("n_steps", "rungs"), [(500, [18, 54, 162, 486]), (27, [1, 3, 9]), (5, [1, 3])])
def test_hyperband_decides_at_its_rungs(n_steps: int, rungs: list[int]) -> None:
    assert find_first_rung(n_steps) == rungs[0]
    assert [step for step in range(n_steps) if is_rung(step, step - 1, n_steps=n_steps)] == rungs


def test_a_step_that_jumps_over_a_rung_is_one() -> None:
    assert is_rung(20, 10, n_steps=500) and not is_rung(50, 20, n_steps=500)


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (whole("n", 1, 9), 4),
        (whole("n", 1, 9, log=True), 4),
        (Dimension("x", (), 0.1, 0.7, step=0.2), 0.3),
        (Dimension("list", (["a"], ["a", "b"])), ["a", "b"]),
        (Dimension("flag", (True, False, None)), None),
    ],
)
def test_optuna_has_a_form_of_each_value(dimension: Dimension, value: object) -> None:
    distribution = make_distribution(dimension)
    assert distribution.to_external_repr(distribution.to_internal_repr(to_optuna(dimension, value))) == to_optuna(
        dimension, value
    )


def test_drops_the_named_warnings_and_no_others() -> None:
    with without_warnings(UserWarning):
        warnings.warn("dropped", UserWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning, match="kept"):
            warnings.warn("kept", DeprecationWarning, stacklevel=1)
