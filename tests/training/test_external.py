"""Training on rows on disk: the same splits, columns and rows as in memory, and a model within the error of the sketch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.paths import PROJECT
from tests.support.settings import make_settings
from tests.support.waiting import wait_until

from boostlab.data import load_table, profile_columns, row_groups, split_table, text
from boostlab.data.columns import Columns
from boostlab.data.splits import Split
from boostlab.errors import ParameterError
from boostlab.evaluation.metrics import answer_part, evaluate_test
from boostlab.training import external
from boostlab.training.cross_validation import cross_validate
from boostlab.training.final_model import make_final_model
from boostlab.training.fit import Fit, fit_booster
from boostlab.training.learning_curve import learn_sizes
from boostlab.training.matrices import make_matrix
from boostlab.training.settings import Train

ROWS = 3_000
WORDS = np.array(["red", "green", "blue", "Grün", "a, b"])


def make_frame(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.standard_normal((ROWS, 6)), columns=[f"x{place}" for place in range(6)])
    frame["x1"] = frame["x1"].astype("float32")
    frame["count"] = draw.integers(0, 1000, ROWS)
    frame["word"] = WORDS[draw.integers(0, len(WORDS), ROWS)]
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 500, ROWS), "D")
    signal = frame["x0"] * 2 + frame["x1"] * frame["x2"] + (frame["word"] == "red") + frame["count"] / 500
    return frame.assign(y=signal + draw.standard_normal(ROWS) * 0.3)


def regression(_frame: pd.DataFrame) -> dict[str, Any]:
    return {}


def binary_with_gaps(frame: pd.DataFrame) -> dict[str, Any]:
    for place, name in enumerate(["x0", "word", "count", "day"]):
        frame.loc[frame.index % 7 == place, name] = None
    frame["y"] = np.where(frame["y"] > frame["y"].median(), "yes", "no")
    frame.loc[::50, "y"] = None  # rows without a target
    return {}


def multiclass(frame: pd.DataFrame) -> dict[str, Any]:
    frame["y"] = pd.qcut(frame["y"], 4, labels=False)
    frame["word"] = frame["word"].astype("category")
    return {"task": "classification"}


def weights(frame: pd.DataFrame) -> dict[str, Any]:
    frame["w"] = np.random.default_rng(1).exponential(size=ROWS)
    return {"sample_weight": "w", "column_types": {"count": "category"}, "keep": ["count"]}


def groups(frame: pd.DataFrame) -> dict[str, Any]:
    frame["g"] = (np.arange(ROWS) // 10).astype(str)
    frame.loc[2000:2009] = frame.loc[0:9].set_axis(range(2000, 2010))  # equal rows
    return {"group": "g", "grow_policy": "lossguide", "max_leaves": 12}


def times(frame: pd.DataFrame) -> dict[str, Any]:
    frame["day"] = frame["day"].dt.strftime("%d.%m.%Y")
    return {"time": "day", "split": "time", "objective": "reg:absoluteerror"}


TABLES = [regression, binary_with_gaps, multiclass, weights, groups, times]


@pytest.fixture(autouse=True)
def _many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "LARGEST_PAGE", 16_000)  # bytes: a few hundred rows
    monkeypatch.setattr(external, "SMALLEST_PAGE", 16_000)
    monkeypatch.setattr(text, "SMALL_BLOCK_BYTES", 30_000)  # of a CSV file
    monkeypatch.setattr(row_groups, "PIECE_BYTES", 16_000)
    monkeypatch.setattr(row_groups, "FEWEST_ROWS", 100)


def write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=1_000)


def make_train(path: Path, memory: str, **options: Any) -> Train:
    given = {"dataset": str(path), "target": "y", "num_boost_round": 12, "memory": memory, **options}
    return make_settings(**given)


def train(path: Path, memory: str, **options: Any) -> tuple[Split, Columns, Fit]:
    settings = make_train(path, memory, **options)
    split = split_table(load_table(settings), settings)
    assert split.train.table.tags()["boostlab.memory"] == memory
    columns = profile_columns(split)
    return split, columns, fit_booster(split, columns, settings)


def make_bins(split: Split, fit: Fit) -> tuple[Any, Any]:
    """Return the bins that XGBoost finds in the training part."""
    pointers, values = make_matrix(split.train, fit.predictor.contract, {"max_bin": 256}).get_quantile_cut()
    return pointers, values


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_trains_as_in_memory(kind: Callable[[pd.DataFrame], dict[str, Any]], ending: str, tmp_path: Path) -> None:
    frame = make_frame()
    options = kind(frame)
    path = tmp_path / f"table.{ending}"
    write(frame, path)
    inside, columns, fit = train(path, "internal", **options)
    outside, same_columns, same_fit = train(path, "external", **options)

    assert outside.train.table.describe() == inside.train.table.describe()
    for part in ("train", "valid", "test"):
        one, other = getattr(inside, part), getattr(outside, part)
        np.testing.assert_array_equal(other.rows, one.rows)
        pd.testing.assert_series_equal(other.target, one.target)
    assert outside.tags() == inside.tags()
    assert outside.findings == inside.findings
    assert same_columns == columns
    assert same_fit.predictor.contract == fit.predictor.contract
    # the sketch sees the rows in the same order, page by page or at once: the bins are the same ones
    for found, expected in zip(make_bins(outside, same_fit), make_bins(inside, fit), strict=True):
        np.testing.assert_array_equal(found, expected)
    # what remains is the order in which gradients are summed
    assert same_fit.curves == {name: pytest.approx(curve, rel=1e-5) for name, curve in fit.curves.items()}
    scores = evaluate_test(fit.predictor, inside).scores
    assert evaluate_test(same_fit.predictor, outside).scores == pytest.approx(scores, rel=1e-3)


def test_folds_learning_curve_and_final_model_work(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write(make_frame(), path)
    found = []
    for memory in ("internal", "external"):
        settings = make_train(path, memory, folds=2, final_model="all_rows", learning_curve=True)
        table = load_table(settings)
        split = split_table(table, settings)
        columns = profile_columns(split)
        fit = fit_booster(split, columns, settings)
        folds = cross_validate(table, settings)
        final = make_final_model(fit, folds, table, settings)
        answers = answer_part(final.predictor, split.test)
        found.append((folds.metrics(), learn_sizes(split, columns, settings).metrics(), answers))
    for one, other in zip(*found, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-3)


def test_leaves_nothing_on_disk(tmp_path: Path, cache_root: Path) -> None:
    path = tmp_path / "table.parquet"
    write(make_frame(), path)
    split, _, fit = train(path, "external")
    assert list(cache_root.glob("table-*"))
    del split, fit
    gc.collect()
    assert not list(cache_root.glob("table-*"))


TRAINING = """
import sys, xgboost
from tests.support.settings import make_settings
from boostlab.data import load_table, profile_columns, split_table
from boostlab.training import fit_booster

class Tell(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        print("round", flush=True)
        return False

settings = make_settings(dataset=sys.argv[1], target="y", memory="external", num_boost_round=100_000)
split = split_table(load_table(settings), settings)
fit_booster(split, profile_columns(split), settings, callbacks=[Tell()])
"""


def test_a_killed_training_leaves_nothing_on_disk(tmp_path: Path, cache_root: Path) -> None:
    path = tmp_path / "table.parquet"
    write(make_frame(), path)
    with subprocess.Popen([sys.executable, "-c", TRAINING, str(path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "round\n"
        (folder,) = cache_root.glob("table-*")
        assert list(folder.glob("pages-*"))
        process.kill()
    wait_until(lambda: not folder.exists())
    assert [one.name for one in cache_root.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tree_method": "exact"}, r"memory = external does not fit tree_method = exact: XGBoost learns from rows on disk only"),
        ({"tree_method": "approx"}, r"does not fit tree_method = approx: .* Set these, or memory internal\."),
        ({"device": "cuda"}, r"memory = external does not fit device = cuda"),
        ({"memory": "disk"}, r"memory has no choice 'disk'\. It takes: auto, internal, external\."),
    ],
)
def test_refuses_what_xgboost_cannot_learn_from_disk(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_settings(**{"memory": "external", **options})


def test_auto_stays_in_memory_where_xgboost_needs_it() -> None:
    assert make_settings(tree_method="exact").requested_memory == "internal"
    assert make_settings().requested_memory == "auto"


PEAK = """
import sys
from benchmarks.scale.peak import Peak
from tests.support.settings import make_settings
from boostlab.data import load_table, profile_columns, split_table
from boostlab.training import external, fit_booster
import sklearn.model_selection

external.LARGEST_PAGE = external.SMALLEST_PAGE
peak = Peak()
before = peak.bytes
settings = make_settings(dataset=sys.argv[1], target="y", memory=sys.argv[2], num_boost_round=3, max_bin=16)
split = split_table(load_table(settings), settings)
fit_booster(split, profile_columns(split), settings)
print(peak.bytes - before)
"""


@pytest.mark.slow
def test_needs_a_part_of_the_memory(tmp_path: Path) -> None:
    path, rows = tmp_path / "table.parquet", int(os.environ.get("BOOSTLAB_TEST_ROWS", "150_000"))
    draw = np.random.default_rng(0)
    columns = {f"x{place}": draw.standard_normal(rows) for place in range(150)}
    pq.write_table(
        pa.table({**columns, "y": columns["x0"] + draw.standard_normal(rows)}), path, use_dictionary=False, data_page_size=65_536
    )
    inside, outside = (
        int(subprocess.run([sys.executable, "-c", PEAK, path, memory], cwd=PROJECT, check=True, capture_output=True).stdout)
        for memory in ("internal", "external")
    )
    assert outside < inside / 2  # what belongs to no file: the system drops pages of files when memory is short
    assert outside < rows * 150 * 8
