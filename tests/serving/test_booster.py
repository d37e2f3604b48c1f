"""XGBoost's C interface gives the same values as its Python package, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost as xgb

from boostlab.serving.booster import Booster, BoosterError

OBJECTIVES = {"reg:squarederror": 1, "binary:logistic": 2, "multi:softprob": 3, "multi:softmax": 3}


def make(objective: str = "reg:squarederror") -> tuple[xgb.Booster, np.ndarray]:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(300, 5)).astype(np.float32)
    matrix[draw.random(matrix.shape) < 0.2] = np.nan
    classes = OBJECTIVES[objective]
    labels = draw.normal(size=300) if classes == 1 else draw.integers(0, classes, 300)
    params = {"objective": objective, "nthread": 1} | ({"num_class": 3} if classes == 3 else {})
    return xgb.train(params, xgb.DMatrix(matrix, labels), num_boost_round=20), matrix


def load(booster: xgb.Booster) -> Booster:
    return Booster(bytes(booster.save_raw("ubj")))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("rows", [1, 2, 300])
def test_answers_to_the_last_bit_what_the_package_answers(objective: str, rows: int) -> None:
    booster, matrix = make(objective)
    expected = np.asarray(booster.inplace_predict(matrix[:rows]))

    answer = load(booster).predict(matrix[:rows])

    assert answer.dtype == expected.dtype and answer.shape == expected.shape
    assert answer.tobytes() == expected.tobytes()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_answers_alike_on_several_threads(objective: str) -> None:
    booster, matrix = make(objective)
    large = np.concatenate([matrix] * 5)[:1_403]
    content = bytes(booster.save_raw("ubj"))

    assert Booster(content, threads=3).predict(large).tobytes() == Booster(content).predict(large).tobytes()


@pytest.mark.parametrize("kind", ["dart", "gblinear"])
def test_answers_without_trees_alone_what_the_package_answers(kind: str) -> None:
    _, matrix = make()
    complete = np.nan_to_num(matrix)
    params = {"booster": kind, "nthread": 1} | ({"rate_drop": 0.3} if kind == "dart" else {})
    booster = xgb.train(params, xgb.DMatrix(complete, complete[:, 0] ** 2), 20)
    expected = booster.predict(xgb.DMatrix(complete[:7]))

    assert load(booster).predict(complete[:7]).tobytes() == expected.tobytes()


def test_the_server_loads_without_the_package() -> None:
    script = "import sys, boostlab.serving.server; print(*sorted({'scipy', 'xgboost', 'pandas', 'mlflow'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_a_file_that_is_no_booster_is_refused() -> None:
    with pytest.raises(BoosterError):
        Booster(b"{}")


def test_an_answer_outlives_the_next_one() -> None:
    booster, matrix = make()
    in_place = load(booster)
    first = in_place.predict(matrix[:1])
    kept = first.copy()
    in_place.predict(matrix[1:2])

    assert first == kept


def test_threads_do_not_meet() -> None:
    booster, matrix = make()
    in_place = load(booster)
    expected = np.asarray(booster.inplace_predict(matrix))
    places = list(range(len(matrix))) * 10
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda place: in_place.predict(matrix[place : place + 1])[0], places))

    assert answers == expected[places].tolist()


@pytest.mark.parametrize(
    "change", [lambda m: m[:, :4].copy(), lambda m: m.astype(np.float64), np.asfortranarray, lambda m: m[::2]]
)
def test_refuses_a_matrix_that_the_library_would_misread(change: object) -> None:
    booster, matrix = make()

    with pytest.raises(ValueError, match=r"takes C-contiguous float32 of shape \(n, 5\)"):
        load(booster).predict(change(matrix))  # type: ignore[operator]
