"""The learning curve over rows: each model is that of its rows alone, and the verdict allows for chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error
from tests.support.figures import check_picture, legend, title
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.errors import TrainingError
from boostlab.evaluation.metrics import answer_part
from boostlab.evaluation.slices import choose_loss
from boostlab.training import learning_curve as module
from boostlab.training.fit import fit_booster
from boostlab.training.learning_curve import DRAWS, LearningCurve, Size, learn_sizes
from boostlab.training.row_order import order_rows
from boostlab.training.settings import Train

SAMPLED = {"subsample": 0.5, "colsample_bytree": 0.5, "num_boost_round": 20, "early_stopping_rounds": 5}


def learn(**changes: Any) -> tuple[LearningCurve, Split, Train]:
    settings = make_settings(**{"learning_curve": True, **SAMPLED, **changes})
    split = split_table(load_table(settings), settings)
    return learn_sizes(split, profile_columns(split), settings), split, settings


def write(folder: Path, frame: pd.DataFrame) -> dict[str, Any]:
    frame.to_parquet(folder / "t.parquet", index=False)
    return {"dataset": str(folder / "t.parquet"), "target": "y"}


@pytest.mark.parametrize("dataset", ["diabetes", "wine"])
def test_a_model_does_not_depend_on_what_was_trained_before_or_beside_it(dataset: str) -> None:
    curve, split, settings = learn(dataset=dataset)
    columns = profile_columns(split)
    jobs = [(size, draw) for size in range(len(curve.sizes)) for draw in range(len(curve.sizes[size].values))]
    shares = [0.5 ** (len(curve.sizes) - 1 - place) for place in range(len(curve.sizes))]

    for place in np.random.default_rng(0).permutation(len(jobs)):
        size, draw = jobs[place]
        part = split.train.take(order_rows(split.train, settings, seed=draw).take(shares[size]))
        fit = fit_booster(replace(split, train=part), columns, settings)
        assert curve.sizes[size].values[draw] == pytest.approx(fit.curves[f"valid_{fit.metric}"][fit.best_iteration], rel=1e-5)
    assert [len(size.values) for size in curve.sizes] == [*[DRAWS] * (len(curve.sizes) - 1), 1]


def test_the_last_size_is_the_training_itself() -> None:
    curve, split, settings = learn(dataset="diabetes")
    fit = fit_booster(split, profile_columns(split), settings)

    assert curve.sizes[-1].rows == len(split.train)
    assert curve.sizes[-1].mean == pytest.approx(fit.metrics()[f"best_valid_{fit.metric}"], rel=1e-5)
    assert [size.rows for size in curve.sizes[:-1]] == [round(len(split.train) / 2**power) for power in (3, 2, 1)]


def test_the_interval_of_one_draw_is_that_of_paired_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=3000), "day": np.arange(3000)})
    own = write(tmp_path, frame.assign(y=frame["x"] * 3 + draw.normal(size=3000)))
    curve, split, settings = learn(**own, time="day", split="time", metric="mae")
    fits = []
    for share in (0.5, 1):
        part = split.train.take(order_rows(split.train, settings, seed=0).take(share))
        fits.append(fit_booster(replace(split, train=part), profile_columns(split), settings).predictor)
    half, full = (answer_part(fit, split.valid) for fit in fits)
    true = split.valid.target.to_numpy()
    difference = np.abs(true - half) - np.abs(true - full)
    size = curve.sizes[-2]

    assert len(size.values) == 1 and size.mean == pytest.approx(mean_absolute_error(true, half))
    assert size.gain == pytest.approx(difference.mean())
    low, high = stats.norm.interval(0.95, difference.mean(), stats.sem(difference))
    assert size.high - size.low == pytest.approx(high - low, rel=0.25)  # 100 resamples: seven standard errors are half of it
    assert "for the choice of the validation rows alone" in curve.describe()


def test_a_metric_is_resampled_as_a_mean_of_losses_or_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the same interval of the log loss."""
    monkeypatch.setattr(module, "FEW_RESAMPLES", module.RESAMPLES)
    fast, *_ = learn(dataset="breast_cancer", num_boost_round=5)
    monkeypatch.setattr(module, "choose_loss", lambda contract: ("another", choose_loss(contract)[1]))
    slow, *_ = learn(dataset="breast_cancer", num_boost_round=5)

    for one, other in zip(fast.sizes, slow.sizes, strict=True):
        assert (one.low, one.high, one.gain) == pytest.approx((other.low, other.high, other.gain), rel=1e-4, abs=1e-7)


def test_a_higher_metric_is_a_gain() -> None:
    curve, *_ = learn(dataset="breast_cancer", metric="roc_auc")
    half, full = curve.sizes[-2:]

    assert half.gain == pytest.approx(full.mean - half.mean)
    assert half.low < half.gain < half.high


def test_more_rows_help_a_task_that_is_hard(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    inputs = draw.random((3000, 4))
    frame = pd.DataFrame(inputs, columns=list("abcd")).assign(y=10 * np.sin(9 * inputs[:, 0] * inputs[:, 1]) + 20 * inputs[:, 2])
    curve, *_ = learn(**write(tmp_path, frame), num_boost_round=200, colsample_bytree=1.0)

    assert curve.describe().endswith("more rows would probably help.")
    assert curve.metrics()["learning_curve_gain_low"] > 0


def test_more_rows_hardly_help_where_the_rest_is_noise(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.random(8000) < 0.5}).assign(y=lambda rows: rows["a"] * 4 + draw.normal(size=8000))
    curve, *_ = learn(**write(tmp_path, frame), colsample_bytree=1.0, duplicates="apart", num_boost_round=100)

    assert curve.describe().endswith("more rows would hardly help.")


@pytest.mark.parametrize(("gain", "words"), [(0.5, "better by 0.5"), (-0.02, "worse by 0.02")])
def test_an_unsure_gain_is_called_so(gain: float, words: str) -> None:
    sizes = (Size(100, (5.0, 6.0), gain, -0.1, 1.1), Size(200, (5.0,), 0.0, 0.0, 0.0))
    assert LearningCurve(sizes, "rmse").describe() == (
        f"Twice the training rows, 200 for 100, make the validation rmse {words} (95 % interval of the gain -0.1 to 1.1), to 5: "
        "whether more rows would help is not sure."
    )


def test_records_rows_and_metric_of_each_size() -> None:
    curve, *_ = learn(dataset="diabetes")

    assert curve.curves() == {
        "learning_curve_rows": [size.rows for size in curve.sizes],
        "learning_curve_rmse": [np.mean(size.values) for size in curve.sizes],
    }
    assert curve.metrics()["learning_curve_gain"] == curve.sizes[-2].gain


def test_is_off_and_costs_nothing_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "order_rows", lambda *_, **__: pytest.fail("nothing is asked for"))
    settings = make_settings()
    assert not settings.learning_curve
    split = split_table(load_table(settings), settings)
    off = learn_sizes(split, profile_columns(split), settings)

    assert (off.metrics(), off.curves(), off.describe(), off.plot()) == ({}, {}, "", {})


def test_groups_stay_together_and_give_an_interval(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shop = np.repeat(np.arange(40), 30)
    frame = pd.DataFrame({"x": draw.normal(size=1200), "shop": shop})
    curve, *_ = learn(**write(tmp_path, frame.assign(y=frame["x"] + draw.normal(size=40)[shop])), group="shop", drop=["shop"])

    assert all(size.rows % 6 == 0 for size in curve.sizes)  # the mean of five draws of whole groups of 30 rows
    assert curve.sizes[-2].low < curve.sizes[-2].gain < curve.sizes[-2].high


def test_rare_classes_are_known_to_each_model(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=1000), "y": np.where(np.arange(1000) < 8, "rare", "usual")})
    frame.loc[990:, "y"] = "other"
    curve, *_ = learn(**write(tmp_path, frame.sample(frac=1, random_state=0)))

    assert len(curve.sizes) == 5 and all(np.isfinite(size.mean) for size in curve.sizes)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (50, {}, r"needs at least 40 training rows with a weight, in 4 groups or more\. There are 30 rows in 30 groups"),
        (500, {"group": "shop", "valid_size": 0.4, "test_size": 0.2}, r"There are \d+ rows in 2 groups"),
    ],
)
def test_too_few_rows_or_groups_are_refused(tmp_path: Path, rows: int, options: dict[str, Any], message: str) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=rows), "shop": np.arange(rows) % 5, "y": draw.normal(size=rows)})
    with pytest.raises(TrainingError, match=message):
        learn(**write(tmp_path, frame), **options)


def test_draws_each_size_with_its_interval() -> None:
    curve, *_ = learn(dataset="diabetes")
    figure = curve.plot()["learning_curve_size"]
    (axes,) = figure.axes
    half, full = curve.sizes[-2:]

    check_picture(figure)
    assert legend(axes) == ["a draw of rows", "mean", "95 %, against all rows"]
    mean = next(line for line in axes.lines if line.get_label() == "mean")
    assert np.asarray(mean.get_ydata()).tolist() == [size.mean for size in curve.sizes]
    last = axes.collections[0].get_segments()[-1]  # type: ignore[attr-defined]
    assert last.tolist() == [[half.rows, pytest.approx(full.mean + half.low)], [half.rows, pytest.approx(full.mean + half.high)]]
    assert " ".join(title(axes).split()).startswith(
        f"rmse {full.mean:.4g} with 266 training rows, better than with half of them by "
    )


def test_an_interval_of_a_figure_ends_where_the_metric_does() -> None:
    sizes = (Size(100, (0.5, 0.6), 0.3, -0.2, 0.9), Size(200, (0.85,), 0.0, 0.0, 0.0))
    (axes,) = LearningCurve(sizes, "average_precision").plot()["learning_curve_size"].axes

    assert axes.collections[0].get_segments()[0][:, 1].tolist() == [1.0, 0.0]  # type: ignore[attr-defined]
