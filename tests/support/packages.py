"""Models that are packaged but not recorded: of the data sets of scikit-learn, and of a table with every kind of column."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.models.packaging import package_model, write_model
from boostlab.models.predictor import Predictor
from boostlab.training.cross_validation import cross_validate
from boostlab.training.final_model import make_final_model
from boostlab.training.fit import fit_booster
from boostlab.training.settings import Train

Packaged = tuple[Path, Predictor, Split]


@pytest.fixture(scope="session")
def own_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Parquet file with a column of every kind, without gaps and with."""
    draw = np.random.default_rng(0)
    rows = 200
    frame = pd.DataFrame(
        {
            "size": draw.normal(size=rows),
            "rooms": draw.integers(1, 9, rows) * 10,
            "new": draw.random(rows) < 0.5,
            "city": draw.choice(["Faro", "Porto, PT", 'say "x"'], rows),
            "sold": pd.Timestamp("2020-01-01T06:30:15.25") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
        }
    )
    gaps = {f"{name}_gap": frame[name].astype(object).where(frame.index % 3 != 1, None) for name in frame}
    frame = frame.assign(**gaps).astype({"size_gap": float, "rooms_gap": float, "sold_gap": "datetime64[us]"})
    frame["price"] = frame["size"] * 3 + frame.rooms / 10 + (frame.city == "Faro") * 5 + frame.new + draw.normal(size=rows) * 0.1
    frame["level"] = np.where(frame.price > 3, "dear", "cheap")
    path = tmp_path_factory.mktemp("own") / "own.parquet"
    frame.to_parquet(path, index=False)
    return path


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, own_table: Path) -> Callable[[str], Packaged]:
    """Return a function that gives a data set's packaged model, the predictor it was made of, and the split data."""

    @cache
    def get(dataset: str) -> Packaged:
        own: dict[str, dict[str, Any]] = {
            "own": {"dataset": str(own_table), "target": "price", "drop": ["level"]},
            "own_quantiles": {
                "dataset": str(own_table),
                "target": "price",
                "drop": ["level"],
                "quantiles": [0.9, 0.1, 0.5],
                "max_depth": 2,
            },
            "own_classes": {"dataset": str(own_table), "target": "level", "drop": ["price"]},
            "own_folds": {"dataset": str(own_table), "target": "level", "drop": ["price"], "folds": 3, "final_model": "folds"},
        }
        settings = make_settings(num_boost_round=9, **own.get(dataset, {"dataset": dataset}))
        return make_package(settings, tmp_path_factory.mktemp(dataset))

    return get


def make_package(settings: Train, folder: Path) -> Packaged:
    """Train as the settings say and package the model."""
    from mlflow.models import Model

    table = load_table(settings)
    split = split_table(table, settings)
    fit = fit_booster(split, profile_columns(split), settings).decide(split, settings)
    fit = make_final_model(fit, cross_validate(table, settings), table, settings)
    write_model(fit.predictor, split.train.head(5), folder / "parts")
    package_model(folder / "parts", folder / "model", mlflow_model=Model())
    return folder / "model", fit.predictor, split
