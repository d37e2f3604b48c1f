from __future__ import annotations

import shutil
import warnings
from typing import Any, Literal

import numpy as np
import pytest
import xgboost as xgb

from boostlab.data import Split, load_table, split_table
from boostlab.errors import TrainingError
from boostlab.training import Fit, fit_booster, rank_features


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    """Splits by task: one to regress on, one of two classes, one of three."""
    tables = {name: load_table(name) for name in ("diabetes", "breast_cancer", "iris")}
    regression = split_table(tables["diabetes"], task="regression", test_size=0.2, valid_size=0.2, seed=0)
    binary, multiclass = (
        split_table(tables[name], task="classification", test_size=0.2, valid_size=0.2, seed=0)
        for name in ("breast_cancer", "iris")
    )
    return {"regression": regression, "binary": binary, "multiclass": multiclass}


def fit(split: Split, *, rounds: int = 3, stop: int = 0, **params: Any) -> Fit:
    task = "regression" if split.train.target.dtype.kind == "f" else "classification"
    params = {"nthread": 1, **params}
    return fit_booster(split, task=task, params=params, num_boost_round=rounds, early_stopping_rounds=stop)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "metric", "labels"),
    [
        ("regression", "rmse", []),
        ("binary", "logloss", ["benign", "malignant"]),
        ("multiclass", "mlogloss", ["setosa", "versicolor", "virginica"]),
    ],
)
def test_fits_each_kind_of_target(splits: dict[str, Split], kind: str, metric: str, labels: list[str]) -> None:
    done = fit(splits[kind])

    assert done.metric == metric
    assert {name: len(values) for name, values in done.curves.items()} == {f"train_{metric}": 3, f"valid_{metric}": 3}
    assert done.curves[f"train_{metric}"][2] < done.curves[f"train_{metric}"][0]
    assert done.predictor.contract["labels"] == labels


def test_stops_early_and_keeps_the_rounds_up_to_the_best(splits: dict[str, Split]) -> None:
    done = fit(splits["regression"], rounds=200, stop=5, eta=0.5)
    curve = done.curves["valid_rmse"]
    answers = np.asarray(done.predictor.predict(splits["regression"].valid.features))

    assert done.best_iteration == int(np.argmin(curve))
    assert len(curve) == done.best_iteration + 1 + 5 < 200
    assert done.predictor.booster.num_boosted_rounds() == done.best_iteration + 1
    assert np.sqrt(np.mean((answers - splits["regression"].valid.target) ** 2)) == pytest.approx(min(curve), rel=1e-5)


def test_never_stops_early_where_it_is_not_asked_to(splits: dict[str, Split]) -> None:
    done = fit(splits["regression"], rounds=40, eta=1)

    assert (done.best_iteration, done.predictor.booster.num_boosted_rounds(), len(done.curves["valid_rmse"])) == (39, 40, 40)


def test_cuts_all_the_trees_of_later_rounds(splits: dict[str, Split]) -> None:
    done = fit(splits["multiclass"], rounds=100, stop=3, eta=1, num_parallel_tree=2)

    assert len(done.predictor.booster.get_dump()) == (done.best_iteration + 1) * 2 * 3


@pytest.mark.parametrize("params", [{"eval_metric": ["rmse", "mae"]}, {"objective": "reg:absoluteerror", "eval_metric": "mae"}])
def test_watches_the_last_metric_that_was_asked_for(splits: dict[str, Split], params: dict[str, Any]) -> None:
    done = fit(splits["regression"], rounds=100, stop=3, eta=0.5, **params)

    assert done.metric == "mae"
    assert done.best_iteration == int(np.argmin(done.curves["valid_mae"]))


def test_takes_the_highest_round_of_a_metric_that_grows(splits: dict[str, Split]) -> None:
    done = fit(splits["binary"], rounds=100, stop=3, eval_metric="auc", subsample=0.5)

    assert done.best_iteration == int(np.argmax(done.curves["valid_auc"]))


def test_does_not_look_at_the_test_part(splits: dict[str, Split]) -> None:
    whole = splits["regression"]
    blind = Split(whole.train, whole.valid, test=whole.train)

    assert fit(blind).curves == fit(whole).curves


def test_repeats_itself_with_the_same_seed_alone(splits: dict[str, Split]) -> None:
    curves = [fit(splits["regression"], subsample=0.5, seed=seed).curves["valid_rmse"] for seed in (1, 1, 2)]

    assert curves[0] == curves[1] != curves[2]


def test_calls_back_after_each_round(splits: dict[str, Split]) -> None:
    rounds = []

    class Counter(xgb.callback.TrainingCallback):
        def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
            rounds.append(epoch)
            return False

    fit_booster(
        splits["regression"],
        task="regression",
        params={},
        num_boost_round=3,
        early_stopping_rounds=0,
        callbacks=[Counter()],
    )
    assert rounds == [0, 1, 2]


@pytest.mark.parametrize("action", ["default", "error", "ignore"])
@pytest.mark.parametrize("more", [{}, {"verbosity": 0}], ids=["plain", "quiet"])
def test_refuses_a_parameter_that_xgboost_does_not_know(
    splits: dict[str, Split], action: Literal["default", "error", "ignore"], more: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(TrainingError, match=r"no use for 'max_dept', 'nonsense' in this training\. Leave it out\."):
            fit(splits["regression"], max_dept=3, nonsense=1, **more)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_depth": -1}, "value -1 for Parameter max_depth should be greater equal to 0"),
        ({"max_depth": "deep"}, "Invalid Parameter format for max_depth expect int but value='deep'"),
        ({"sampling_method": "some"}, "'some', valid values are: {'gradient_based', 'uniform'}"),
        ({"eval_metric": "nope"}, "Unknown metric function nope"),
        ({"monotone_constraints": [1, 0]}, "'list'"),
    ],
)
def test_passes_on_why_xgboost_refuses_a_value(splits: dict[str, Split], params: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainingError) as caught:
        fit(splits["regression"], **params)

    assert str(caught.value).startswith("XGBoost refuses this training: ")
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_refuses_cuda_where_there_is_no_gpu(splits: dict[str, Split]) -> None:
    with pytest.raises(TrainingError, match=r"^device: XGBoost finds no GPU here\. Set device to cpu\.$"):
        fit(splits["regression"], device="cuda")


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("regression", {"objective": "binary:logistic"}, "does not fit this regression target. Allowed: reg:…, count:poisson."),
        ("binary", {"objective": "reg:squarederror"}, "does not fit this binary target. Allowed: binary:logistic."),
        ("multiclass", {"objective": "multi:softmax"}, "does not fit this multiclass target. Allowed: multi:softprob."),
        ("regression", {"booster": "gblinear"}, "no booster 'gblinear' here. Allowed: gbtree, dart."),
    ],
)
def test_refuses_what_no_model_here_can_answer_with(
    splits: dict[str, Split], kind: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        fit(splits[kind], **params)

    assert words in str(caught.value)


def test_ranks_features_by_gain_with_the_unused_last(splits: dict[str, Split]) -> None:
    gain = rank_features(fit(splits["regression"], rounds=1, max_depth=1).predictor)
    used, *unused = gain.values()

    assert set(gain) == set(splits["regression"].train.features.columns)
    assert used > 0
    assert unused == [0.0] * 9


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_ranks_the_largest_gain_first(splits: dict[str, Split], kind: str) -> None:
    gain = list(rank_features(fit(splits[kind]).predictor).values())

    assert gain == sorted(gain, reverse=True)
