"""A table in: the data sets that ship with scikit-learn, their task, and an honest split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import sklearn.datasets
from sklearn.model_selection import train_test_split

from boostlab.errors import DataError

Task = Literal["regression", "classification"]
MOST_CLASSES = 50


@dataclass(frozen=True)
class Table:
    """Features and a target, row by row.

    Attributes
    ----------
    features : DataFrame of shape (n_rows, n_features)
    target : Series of length n_rows
        Numbers for regression; the labels as people write them for classification.
    name, source : str
        What the data is called and where it came from.
    """

    features: pd.DataFrame
    target: pd.Series
    name: str
    source: str

    def describe(self) -> dict[str, str]:
        """Return the table as MLflow's record of a data set has it: name, source, schema, size and content digest."""
        columns = [*self.features.items(), (str(self.target.name), self.target)]
        schema = [{"name": str(name), "type": str(column.dtype)} for name, column in columns]
        profile = {"num_rows": len(self.features), "num_elements": int(self.features.size)}
        return {
            "name": self.name,
            "digest": compute_digest(self),
            "source_type": "code",
            "source": json.dumps({"tags": {"mlflow.source.name": self.source}}),
            "schema": json.dumps({"mlflow_colspec": schema}),
            "profile": json.dumps(profile),
        }


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split."""

    features: pd.DataFrame
    target: pd.Series

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Split:
    """Rows to learn from, rows that stop the learning, and rows that are looked at once, at the end."""

    train: Part
    valid: Part
    test: Part

    def sizes(self) -> pd.DataFrame:
        """Return rows and share of each part, as a table to look at."""
        rows = {name: len(part) for name, part in (("train", self.train), ("valid", self.valid), ("test", self.test))}
        total = sum(rows.values())
        shares = [f"{count / total:.0%}" for count in rows.values()]
        return pd.DataFrame({"rows": list(rows.values()), "share": shares}, index=list(rows))


def load_table(dataset: str) -> Table:
    """Load one of the data sets that ship with scikit-learn; classes come by their names."""
    bunch = getattr(sklearn.datasets, f"load_{dataset}")(as_frame=True)
    target: pd.Series = bunch.target
    names = bunch.get("target_names")
    if names is not None and isinstance(names[0], str):
        target = pd.Series(np.asarray(names, dtype=object)[target.to_numpy()], index=target.index, name=target.name)
    return Table(bunch.data.astype(float), target, name=dataset, source=f"sklearn.datasets.load_{dataset}")


def find_task(target: pd.Series, asked: str = "auto") -> Task:
    """Return the task that a target is for, or the one asked for if the target fits it.

    Text, booleans and up to 50 different whole numbers are classes; other numbers are a quantity.

    Raises
    ------
    DataError
        If regression is asked for on text, or classification on a target with too many different values.
    """
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    distinct = target.nunique()
    countable = not numeric or (distinct <= MOST_CLASSES and bool((target == target.round()).all()))
    if asked == "regression" and not numeric:
        raise DataError(
            f"task = 'regression' does not fit the target {target.name!r}, which holds {_some(target)}. "
            "Regression takes numbers: set task to classification or auto."
        )
    if asked == "classification" and not countable:
        raise DataError(
            f"task = 'classification' does not fit the target {target.name!r}: {distinct} different numbers, such as "
            f"{_some(target)}. Classes are text, booleans or at most {MOST_CLASSES} whole numbers: set task to regression."
        )
    if asked != "auto":
        return "regression" if asked == "regression" else "classification"
    return "classification" if countable else "regression"


def split_table(table: Table, *, task: Task, test_size: float, valid_size: float, seed: int) -> Split:
    """Split rows at random, by class where there are classes.

    Parameters
    ----------
    test_size, valid_size : float
        Fractions of all rows, in (0, 1).

    Raises
    ------
    DataError
        If a part would be empty, or a class has too few rows to stand in each part.
    """
    strata = table.target if task == "classification" else None
    if strata is not None:
        _check_classes(strata)
    rows = np.arange(len(table.features))
    counts = [round(len(rows) * size) for size in (test_size, valid_size)]
    fewest = 1 if strata is None else strata.nunique()
    for name, count in zip(("test", "validation", "train"), (*counts, len(rows) - sum(counts)), strict=True):
        if count < fewest:
            raise DataError(
                f"The {name} part of {table.name!r} would have {count} of {len(rows)} rows, and needs at least {fewest}. "
                "Change test_size or valid_size."
            )
    rest, test = train_test_split(rows, test_size=counts[0], random_state=seed, stratify=strata)
    strata = None if strata is None else strata.iloc[rest]
    train, valid = train_test_split(rest, test_size=counts[1], random_state=seed, stratify=strata)
    parts = [Part(table.features.iloc[part], table.target.iloc[part]) for part in (train, valid, test)]
    return Split(*parts)


def find_labels(target: pd.Series) -> list[Any]:
    """Return the classes of a target in sorted order, as plain Python values."""
    return sorted(target.unique().tolist())


def encode_labels(target: pd.Series, labels: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return each row's position in `labels`, of shape (n_rows,)."""
    return pd.Categorical(target, categories=list(labels)).codes.astype(np.int64)


def compute_digest(table: Table) -> str:
    """Return eight bytes in hex that change with any value, name or order of the table."""
    digest = hashlib.sha256(json.dumps([*map(str, table.features.columns), str(table.target.name)]).encode())
    digest.update(pd.util.hash_pandas_object(table.features, index=False).to_numpy().tobytes())
    digest.update(pd.util.hash_pandas_object(table.target, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_classes(target: pd.Series) -> None:
    counts = target.value_counts()
    if len(counts) < 2:
        raise DataError(f"The target {target.name!r} has one class only, {counts.index[0]!r}. Classification takes two or more.")
    if counts.iloc[-1] < 3:
        raise DataError(
            f"The class {counts.index[-1]!r} of {target.name!r} has {counts.iloc[-1]} row(s), too few for a training, a "
            "validation and a test part. Drop it, or merge it with another."
        )


def _some(target: pd.Series) -> str:
    return ", ".join(repr(value) for value in target.unique()[:3].tolist())
