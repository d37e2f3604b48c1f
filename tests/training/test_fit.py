from __future__ import annotations

import shutil
import signal
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from tests.support.figures import make_fit
from tests.support.settings import make_settings

from boostlab.data.columns import ColumnProfile, Columns, profile_columns
from boostlab.data.splits import Part, Split, split_table
from boostlab.data.table import Roles, Table, load_table
from boostlab.errors import DataError, TrainingError
from boostlab.evaluation.explanations import rank_gain
from boostlab.evaluation.metrics import evaluate_test
from boostlab.models.contract import Feature, Task
from boostlab.models.predictor import encode_rows
from boostlab.training.fit import Fit, fit_booster
from boostlab.training.objectives import OBJECTIVES, MetricName, ObjectiveName
from boostlab.training.settings import Hyperparameters

KINDS = {"regression": "diabetes", "binary": "breast_cancer", "multiclass": "iris"}


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    """Splits by task: one to regress on, one of two classes, one of three."""
    settings = {kind: make_settings(dataset=name) for kind, name in KINDS.items()}
    return {kind: split_table(load_table(chosen), chosen) for kind, chosen in settings.items()}


def fit(split: Split, *, rounds: int = 3, stop: int = 0, callbacks: Sequence[Any] = (), **params: Any) -> Fit:
    """Train with XGBoost's own defaults but for the given parameters."""
    own = {"eta": 0.3, "max_depth": 6, "tree_method": "hist"} | params
    known = {name: value for name, value in own.items() if name in Hyperparameters.model_fields}
    others = {name: value for name, value in own.items() if name not in known}
    settings = make_settings(num_boost_round=rounds, early_stopping_rounds=stop, xgb_params=others, **known)
    return fit_booster(split, profile_columns(split), settings, callbacks=callbacks)


def make_split(**columns: list[Any]) -> Split:
    """Return a split whose three parts are the same rows, a role `weight` among the columns if there is one."""
    data = pa.table(columns)
    names = tuple(name for name in data.column_names if name not in ("y", "weight"))
    roles = Roles(target="y", weight="weight" if "weight" in columns else "")
    task: Task = "classification" if isinstance(columns["y"][0], str) else "regression"
    table = Table(data, roles, names, name="made", source="here", task=task, kept=frozenset(names))
    weight = np.array(columns["weight"], np.float32) if "weight" in columns else None
    part = Part(table, np.arange(len(table)), table.target, weight)
    return Split(part, part, part)


@pytest.mark.parametrize(
    ("kind", "metric", "labels"),
    [
        ("regression", "rmse", []),
        ("binary", "log_loss", ["benign", "malignant"]),
        ("multiclass", "log_loss", ["setosa", "versicolor", "virginica"]),
    ],
)
def test_fits_each_kind_of_target(splits: dict[str, Split], kind: str, metric: str, labels: list[str]) -> None:
    done = fit(splits[kind])

    assert done.metric == metric
    assert {name: len(values) for name, values in done.curves.items()} == {f"train_{metric}": 3, f"valid_{metric}": 3}
    assert done.curves[f"train_{metric}"][2] < done.curves[f"train_{metric}"][0]
    assert done.predictor.contract.labels == tuple(labels)


def test_stops_early_and_keeps_the_rounds_up_to_the_best(splits: dict[str, Split]) -> None:
    valid = splits["regression"].valid
    done = fit(splits["regression"], rounds=200, stop=5, eta=0.5)
    curve = done.curves["valid_rmse"]
    answers = np.asarray(done.predictor.predict(valid.head(len(valid))))

    assert done.best_iteration == int(np.argmin(curve))
    assert len(curve) == done.best_iteration + 1 + 5 < 200
    assert done.predictor.booster.num_boosted_rounds() == done.best_iteration + 1
    assert np.sqrt(np.mean((answers - valid.target) ** 2)) == pytest.approx(min(curve), rel=1e-5)


def test_cuts_all_the_trees_of_later_rounds(splits: dict[str, Split]) -> None:
    done = fit(splits["multiclass"], rounds=100, stop=3, eta=1, num_parallel_tree=2)

    assert len(done.predictor.booster.get_dump()) == (done.best_iteration + 1) * 2 * 3


@pytest.mark.parametrize(
    ("kind", "metric"), [("regression", "mae"), ("regression", "r2"), ("binary", "roc_auc"), ("binary", "f1")]
)
def test_watches_the_metric_that_was_asked_for(splits: dict[str, Split], kind: str, metric: str) -> None:
    done = fit(splits[kind], rounds=100, stop=3, eta=0.5, metric=metric, subsample=0.5)
    curve = done.curves[f"valid_{metric}"]

    assert done.metric == metric
    assert done.best_iteration == int(np.argmin(curve) if metric == "mae" else np.argmax(curve))
    assert len(curve) == done.best_iteration + 1 + 3


def list_choices() -> list[tuple[ObjectiveName, MetricName]]:
    return [(name, metric) for name, objective in OBJECTIVES.items() for metric in objective.metrics]


@pytest.mark.parametrize(("objective", "metric"), list_choices())
def test_curve_and_test_part_have_the_same_metric_of_weighted_rows(objective: ObjectiveName, metric: MetricName) -> None:
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=300), draw.gamma(1, 1, 300)
    y = np.exp(x / 2 + draw.normal(size=300) / 2)
    target: Any = {"binary:logistic": np.where(y > 1, "b", "a"), "multi:softprob": draw.permutation(["a", "b", "c"] * 100)}.get(
        objective, y / (1 + y) if objective == "reg:logistic" else y
    )
    split = make_split(x=list(x), y=list(target), weight=list(weight))
    own: dict[str, Any] = {"quantiles": [0.9, 0.2]} if objective == "reg:quantileerror" else {}
    own |= {"huber_slope": 0.5} if objective == "reg:pseudohubererror" else {}
    done = fit(split, rounds=15, objective=objective, metric=metric, **own)
    evaluation = evaluate_test(done.predictor, split)

    assert done.metric.partition(":")[0] == metric
    assert (done.objective, done.predictor.contract.metric) == (objective, done.metric)
    assert evaluation.scores[done.metric] == pytest.approx(done.curves[f"valid_{done.metric}"][-1], rel=1e-4)


@pytest.mark.parametrize(
    ("given", "metric"),
    [
        ({"objective": "reg:absoluteerror"}, "mae"),
        ({"objective": "reg:pseudohubererror"}, "mphe"),
        ({"objective": "reg:pseudohubererror", "huber_slope": 2.0}, "mphe:2"),
        ({"objective": "reg:squaredlogerror"}, "rmsle"),
        ({"objective": "count:poisson"}, "poisson_deviance"),
        ({"objective": "reg:gamma"}, "gamma_deviance"),
        ({"objective": "reg:tweedie"}, "tweedie_deviance:1.5"),
        ({"objective": "reg:tweedie", "tweedie_variance_power": 1.25}, "tweedie_deviance:1.25"),
        ({"quantiles": [0.9, 0.1]}, "pinball:0.1-0.9"),
    ],
)
def test_the_metric_follows_the_objective(splits: dict[str, Split], given: dict[str, Any], metric: str) -> None:
    done = fit(splits["regression"], rounds=2, **given)

    assert set(done.curves) == {f"train_{metric}", f"valid_{metric}"}
    assert done.tags()["boostlab.metric"] == metric


def test_a_quantile_is_not_stopped_by_another_metric() -> None:
    """Stopped by RMSE, the model is that of round 4, and its pinball loss 0.67."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=1000)
    y = np.exp(draw.normal(size=1000) + x)
    rows = make_split(x=list(x), y=list(y)).train
    train, valid, test = (
        replace(rows, rows=part, target=rows.target.iloc[part]) for part in np.split(np.arange(1000), [600, 800])
    )
    split = Split(train, valid, test)
    done = fit(split, rounds=300, stop=20, eta=0.1, max_depth=3, quantiles=[0.9])
    evaluation = evaluate_test(done.predictor, split)

    assert done.best_iteration > 30
    assert evaluation.scores["pinball:0.9"] < 0.6 < 0.8 < evaluation.baseline["pinball:0.9"]
    assert np.mean(evaluation.answers >= evaluation.part.target) == pytest.approx(0.9, abs=0.05)


def test_quantiles_do_not_cross() -> None:
    draw = np.random.default_rng(0)
    split = make_split(x=list(draw.normal(size=200)), y=list(draw.normal(size=200)))
    done = fit(split, rounds=60, quantiles=[0.6, 0.5, 0.4])
    rows = encode_rows(split.train.head(200), done.predictor.contract.features)
    raw = done.predictor.booster.inplace_predict(rows)
    answers: Any = done.predictor.predict(split.train.head(200))

    assert (np.diff(raw, axis=1) < 0).any()  # the booster's own output crosses
    assert list(answers.columns) == ["quantile 0.4", "quantile 0.5", "quantile 0.6"]
    assert (np.diff(answers.to_numpy(), axis=1) >= 0).all()
    assert list(done.answer(split.train.head(2))) == [*answers.columns, *split.train.head(2)]


def test_answers_stand_before_the_rows_whatever_their_columns_are_called() -> None:
    split = make_split(prediction=[float(n) for n in range(60)], y=[float(n % 7) for n in range(60)])
    rows = split.train.head(3).set_axis([7, 8, 9])
    shown = fit(split).answer(rows)
    assert list(shown) == ["prediction", "prediction"] and list(shown.index) == [7, 8, 9]
    assert shown.iloc[:, 1].tolist() == rows["prediction"].tolist() != shown.iloc[:, 0].tolist()


@pytest.mark.parametrize(
    ("valid", "train", "words"),
    [
        (np.linspace(2, 1, 100), np.linspace(2, 1, 100), "`num_boost_round` 200 looks promising"),
        (
            np.r_[2, 1, np.full(30, 1.5)],
            np.r_[2, 1, np.full(30, 1.0)],
            "`eta` 0.05 looks promising: the best round was number 2",
        ),
        (np.r_[np.linspace(2, 1.8, 60), np.full(30, 1.9)], np.linspace(2, 0.1, 90), "`max_depth` 3 looks promising"),
        (np.r_[np.linspace(2, 1, 60), np.full(30, 1.1)], np.linspace(2, 0.9, 90), ""),
    ],
)
def test_suggests_what_the_curves_tell(valid: np.ndarray, train: np.ndarray, words: str) -> None:
    done = make_fit({"train_rmse": train.tolist(), "valid_rmse": valid.tolist()})
    said = done.suggest_next(make_settings(num_boost_round=100, eta=0.1, max_depth=4))
    assert said.startswith(words) and bool(said) == bool(words)


@pytest.mark.parametrize("stop", [0, 5])
def test_dart_keeps_all_rounds_and_says_why(splits: dict[str, Split], stop: int) -> None:
    split = splits["regression"]
    done = fit(split, rounds=60, stop=stop, eta=0.5, booster="dart", rate_drop=0.3)
    answers = np.asarray(done.predictor.predict(split.valid.head(len(split.valid))))
    rounds = len(done.curves["valid_rmse"])

    assert done.best_iteration == rounds - 1 == done.predictor.booster.num_boosted_rounds() - 1
    assert np.sqrt(np.mean((answers - split.valid.target) ** 2)) == pytest.approx(done.curves["valid_rmse"][-1], rel=1e-5)
    assert "The model keeps all rounds: DART rescales earlier trees in each round" in done.ending
    assert ("Stopped early" in done.ending) == bool(stop) == (rounds < 60)


@pytest.mark.parametrize(
    ("given", "y", "words"),
    [
        (
            {"objective": "count:poisson"},
            -1,
            "The target 'y' of 'made' is -1 in row 3. The objective count:poisson takes numbers of 0",
        ),
        ({"objective": "reg:tweedie"}, -0.5, "is -0.5 in row 3. The objective reg:tweedie takes numbers of 0 or more: "),
        ({"objective": "reg:gamma"}, 0, "is 0 in row 3. The objective reg:gamma takes numbers of more than 0: "),
        (
            {"objective": "reg:squaredlogerror"},
            -1,
            "is -1 in row 3. The objective reg:squaredlogerror takes numbers of more than -1",
        ),
        ({"objective": "reg:logistic"}, 1.5, "1.5 in row 3. The objective reg:logistic takes numbers of 0 to 1: correct or drop"),
        ({"metric": "mape"}, 0, "is 0 in row 3. The metric mape takes numbers of other than 0, by which it divides: "),
    ],
)
def test_refuses_a_target_that_the_objective_or_the_metric_cannot_have(given: dict[str, Any], y: float, words: str) -> None:
    split = make_split(a=[0.0, 1.0, 2.0], y=[0.5, 1.0, float(y)])

    with pytest.raises(DataError) as caught:
        fit(split, **given)
    assert words in str(caught.value)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:tweedie"])
@pytest.mark.parametrize("weight", [None, [0.0, 0.0, 2.0]])
def test_refuses_only_zeros_where_the_logarithm_of_a_mean_is_learned(objective: str, weight: list[float] | None) -> None:
    rows = {"y": [3.0, 1.0, 0.0], "weight": weight} if weight else {"y": [0.0, 0.0, 0.0]}
    split = make_split(a=[0.0, 1.0, 2.0], **rows)

    with pytest.raises(DataError, match=rf"The target 'y' is 0 in all {1 if weight else 3} rows .* objective {objective} learns"):
        fit(split, objective=objective)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_refuses_a_metric_that_the_validation_rows_do_not_define(metric: str) -> None:
    split, other = make_split(a=[0.0, 1.0, 2.0], y=["a", "b", "b"]), make_split(a=[0.0, 1.0], y=["a", "a"])

    with pytest.raises(TrainingError, match=f"The metric {metric} is not defined on the validation part"):
        fit(replace(split, valid=other.valid), metric=metric)


def test_never_stops_early_where_it_is_not_asked_to(splits: dict[str, Split]) -> None:
    done = fit(splits["regression"], rounds=40, eta=1)

    assert (done.best_iteration, done.predictor.booster.num_boosted_rounds(), len(done.curves["valid_rmse"])) == (39, 40, 40)


class Interrupter(xgb.callback.TrainingCallback):
    """Sends this process what an interrupt of a cell sends, so many times in a round; notes the rounds that it sees."""

    def __init__(self, at: int, times: int = 1) -> None:
        super().__init__()
        self.at, self.times, self.seen = at, times, 0

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        self.seen = epoch + 1
        for _ in range(self.times if epoch == self.at else 0):
            signal.raise_signal(signal.SIGINT)
        return False


@pytest.mark.parametrize("stop", [0, 30])
@pytest.mark.parametrize("at", [0, 6])
def test_an_interrupt_keeps_the_rounds_so_far(splits: dict[str, Split], stop: int, at: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    watcher = Interrupter(at)
    done = fit(splits["regression"], rounds=50, stop=stop, callbacks=[watcher])

    assert len(done.curves["valid_rmse"]) == watcher.seen == at + 1
    assert done.predictor.booster.num_boosted_rounds() == done.best_iteration + 1 == at + 1
    assert (
        done.ending == f"Stopped by hand after round {at + 1}: the rounds so far are kept. The model is that of round {at + 1}."
    )
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_is_an_interrupt(splits: dict[str, Split]) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(splits["regression"], rounds=50, callbacks=[Interrupter(3, times=2)])


def test_says_how_it_ended(splits: dict[str, Split]) -> None:
    assert fit(splits["regression"], rounds=3).ending.startswith("All 3 rounds are done.")
    assert fit(splits["regression"], rounds=200, stop=5, eta=0.5).ending.startswith("Stopped early after round ")


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

    fit(splits["regression"], callbacks=[Counter()])
    assert rounds == [0, 1, 2]


@pytest.mark.parametrize("action", ["default", "error", "ignore"])
@pytest.mark.parametrize("more", [{}, {"verbosity": 0}], ids=["plain", "quiet"])
def test_refuses_a_parameter_that_xgboost_does_not_know(
    splits: dict[str, Split], action: Literal["default", "error", "ignore"], more: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(TrainingError, match=r"no use for 'max_dept', 'nonsense' in this training\. Leave it out\."):
            fit(splits["regression"], rounds=1, max_dept=3, nonsense=1, **more)


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
def test_every_tree_method_gives_the_same_kind_of_model(splits: dict[str, Split], method: str) -> None:
    reference = fit(splits["regression"], rounds=20, max_depth=2)
    done = fit(splits["regression"], rounds=20, max_depth=2, tree_method=method)

    assert done.curves["valid_rmse"][-1] == pytest.approx(reference.curves["valid_rmse"][-1], rel=0.1)


@pytest.mark.parametrize("method", ["hist", "approx"])
def test_learns_from_text_truths_and_dates_with_gaps(method: str) -> None:
    days = [date(2020, 1, 1), date(2020, 6, 1), None, date(2021, 1, 1)] * 10
    split = make_split(
        city=["a", "b", None, "c"] * 10, new=[True, None, False, False] * 10, day=days, y=[1.0, 9.0, 4.0, 2.0] * 10
    )
    done = fit(split, rounds=60, tree_method=method, eta=0.5, max_cat_to_onehot=1, min_child_weight=0)

    assert done.predictor.predict(split.train.head(4)) == pytest.approx([1, 9, 4, 2], abs=0.05)
    assert set(rank_gain(done.predictor)) == {"city", "new", "day"}


@pytest.mark.parametrize("method", ["hist", "exact", "approx"])
def test_weighs_rows_while_it_learns_and_while_it_watches(method: str) -> None:
    split = make_split(a=[0.0, 0.0] * 20, y=[0.0, 10.5] * 20, weight=[1.0, 3.0] * 20)
    done = fit(split, rounds=40, tree_method=method, eta=0.5, reg_lambda=0)

    assert done.predictor.predict(split.train.head(1)) == pytest.approx([7.875], abs=0.01)
    assert done.curves["valid_rmse"][-1] == pytest.approx(10.5 * (3 / 16) ** 0.5, rel=1e-3)


def test_takes_column_names_that_xgboost_does_not() -> None:
    split = make_split(**{"a[0]": [0.0, 1.0] * 20, "a(0)": [1.0, 0.0] * 20, "b<c": [0.0, 0.5] * 20, "y": [1.5, 2.5] * 20})

    assert set(rank_gain(fit(split).predictor)) == {"a[0]", "a(0)", "b<c"}


def test_names_the_table_and_the_column_of_a_value_that_cannot_be_encoded() -> None:
    split = make_split(a=["1", "2", "x"] * 10, y=[0.5, 1.5, 2.5] * 10)
    profile = ColumnProfile("a", "string", "number", 0, 3, "1", feature=Feature("a", "number", "double"))

    with pytest.raises(DataError, match="made: Column 'a' takes numbers, not 'x'"):
        fit_booster(split, Columns((profile,)), make_settings(num_boost_round=1))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_cat_threshold": -1}, "value -1 for Parameter max_cat_threshold should be greater equal to 1"),
        (
            {"max_cat_to_onehot": "few"},
            "max_cat_to_onehot expect int (non-negative) but value='few'",
        ),
        ({"sampling_method": "some"}, "'some', valid values are: {'gradient_based', 'uniform'}"),
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
        (
            "regression",
            {"objective": "binary:logistic"},
            "objective binary:logistic does not fit this regression target. Allowed: auto, ",
        ),
        ("binary", {"objective": "multi:softprob"}, "does not fit this binary target. Allowed: auto, binary:logistic."),
        ("multiclass", {"objective": "binary:logistic"}, "does not fit this multiclass target. Allowed: auto, multi:softprob."),
        ("binary", {"metric": "rmse"}, "metric rmse does not fit objective binary:logistic. Allowed: auto, log_loss, brier, "),
        (
            "regression",
            {"metric": "f1"},
            "metric f1 does not fit objective reg:squarederror. Allowed: auto, rmse, mae, r2, mape.",
        ),
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
    gain = rank_gain(fit(splits["regression"], rounds=1, max_depth=1).predictor)
    several = list(rank_gain(fit(splits["multiclass"]).predictor).values())

    assert set(gain) == set(splits["regression"].train.table.features)
    assert [score > 0 for score in gain.values()] == [True] + [False] * 9
    assert several == sorted(several, reverse=True)
