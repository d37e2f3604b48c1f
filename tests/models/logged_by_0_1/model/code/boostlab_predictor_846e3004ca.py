"""How a trained model answers: raw rows in, predictions in the user's terms out.

This file travels inside every logged model, so that loading one needs none of boostlab: it imports nothing but
numpy, pandas and xgboost, and reads nothing but the model's own folder (``model.ubj`` and ``contract.json``). Training
encodes its rows with the same functions, so that both see the same numbers; so does :mod:`boostlab.serving`, which has
no pandas and therefore calls the ones that take arrays and plain values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xgboost as xgb

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
Feature = dict[str, Any]
TRUTHS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
EPOCH = np.datetime64("1970-01-01")
DATE_PARTS = {  # of an array of datetime64
    "year": lambda dates: dates.astype("M8[Y]").astype(np.int64) + 1970,
    "month": lambda dates: dates.astype("M8[M]").astype(np.int64) % 12 + 1,
    "day": lambda dates: (dates.astype("M8[D]") - dates.astype("M8[M]")).astype(np.int64) + 1,
    "weekday": lambda dates: (dates.astype("M8[D]").astype(np.int64) + 3) % 7,  # Monday is 0
    "hour": lambda dates: (dates - dates.astype("M8[D]")).astype("m8[h]").astype(np.int64),
    "days": lambda dates: (dates - EPOCH) / np.timedelta64(1, "D"),  # since 1970
}


class Predictor:
    """A booster with what is needed to read rows and to name classes.

    Parameters
    ----------
    booster : xgboost.Booster
        Trained on the contract's features as :func:`encode_rows` makes them.
    contract : dict
        ``task`` ("regression" or "classification"), ``labels`` (list of the classes in the order of the booster's output;
        empty for regression) and ``features``: a list of dicts with ``name``, ``kind`` ("number", "boolean", "category" or
        "date"), ``optional``, and ``categories`` or ``parts``.
    """

    def __init__(self, booster: xgb.Booster, contract: dict[str, Any]) -> None:
        self.booster = booster
        self.contract = contract

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> Array | pd.DataFrame:
        """Return a prediction for each row.

        Parameters
        ----------
        rows : DataFrame of shape (n_rows, at least n_features)
            Columns in any order; those that are no features are ignored. A category that training did not see counts as
            missing. An optional column may be left out, which counts as missing too.
        params : dict, optional
            ``{"probabilities": True}`` asks a classifier for one column of probabilities per class.

        Returns
        -------
        ndarray of shape (n_rows,) or DataFrame of shape (n_rows, n_classes)
            Values in the unit of the target, or labels as the target column had them; probabilities if asked for.

        Raises
        ------
        ValueError
            If a column is missing that is not optional, a value is not of its column's kind, or a regressor is asked for
            probabilities.
        """
        wants_probabilities = bool((params or {}).get("probabilities", False))
        if self.contract["task"] == "regression":
            if wants_probabilities:
                raise ValueError("probabilities: a regression model has none. Leave the parameter out.")
            return np.asarray(self._raw(rows), np.float64)
        probabilities = self.probabilities(rows)
        if wants_probabilities:
            import pandas as pd

            return pd.DataFrame(probabilities, columns=[str(label) for label in self.contract["labels"]])
        return choose_labels(probabilities, self.contract["labels"])

    def probabilities(self, rows: pd.DataFrame) -> Array:
        """Return the probability of each class, of shape (n_rows, n_classes), in the order of the contract's labels."""
        return to_probabilities(self._raw(rows), self.contract["labels"])

    def _raw(self, rows: pd.DataFrame) -> Array:
        features = self.contract["features"]
        matrix = xgb.DMatrix(
            encode_rows(rows, features),
            feature_names=safe_names(features),
            feature_types=input_types(features),
            enable_categorical=True,
        )
        return np.asarray(self.booster.predict(matrix))


def to_probabilities(raw: Array, labels: list[Any]) -> Array:
    """Return a booster's output as one column for each class; a booster of two classes gives the second one's alone."""
    wide = raw.astype(np.float64)
    return np.column_stack([1 - wide, wide]) if len(labels) == 2 and raw.ndim == 1 else wide.reshape(-1, len(labels))


def choose_labels(probabilities: Array, labels: list[Any]) -> Array:
    """Return the most probable label of each row, of the type that the target column had."""
    kind = object if isinstance(labels[0], str) else None
    return np.asarray(np.asarray(labels, dtype=kind)[probabilities.argmax(axis=1)])


def encode_rows(rows: pd.DataFrame, features: list[Feature]) -> Array:
    """Return rows as the numbers that the booster takes, a column for each of :func:`input_names`.

    Numbers stay, booleans become 0 and 1, categories their position in the contract's list, dates their parts; what is
    missing, and a category that is not in the list, becomes NaN.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_inputs)
    """
    missing = [item["name"] for item in features if item["name"] not in rows.columns and not item["optional"]]
    if missing:
        needed = ", ".join(item["name"] for item in features if not item["optional"])
        raise ValueError(f"Columns missing: {', '.join(missing)}. The model needs: {needed}.")
    matrix = np.full((len(rows), len(input_names(features))), np.nan, np.float32, order="F")
    position = 0
    for item in features:
        width = len(item["parts"]) if item["kind"] == "date" else 1
        if item["name"] in rows.columns:
            encoded = ENCODERS[item["kind"]](cast("pd.Series", rows[item["name"]]), item)
            matrix[:, position : position + width] = encoded if encoded.ndim == 2 else encoded[:, np.newaxis]
        position += width
    return matrix


def input_names(features: list[Feature]) -> list[str]:
    """Return a name for each number that the booster takes: the column's, or ``column.part`` for dates."""
    parts = (
        [f"{item['name']}.{part}" for part in item["parts"]] if item["kind"] == "date" else [item["name"]] for item in features
    )
    return [str(name) for names in parts for name in names]


def input_types(features: list[Feature]) -> list[str]:
    """Return XGBoost's type for each number that the booster takes: ``c`` for a category, ``q`` for a quantity."""
    types = (
        ["q"] * len(item["parts"]) if item["kind"] == "date" else ["c" if item["kind"] == "category" else "q"]
        for item in features
    )
    return [kind for kinds in types for kind in kinds]


def safe_names(features: list[Feature]) -> list[str]:
    """Return the input names as XGBoost takes them: without ``[``, ``]`` and ``<``, and each once."""
    names: dict[str, None] = {}
    for name in input_names(features):
        safe = unique = name.translate({ord("["): "(", ord("]"): ")", ord("<"): "‹"})
        number = 1
        while unique in names:
            number += 1
            unique = f"{safe}~{number}"
        names[unique] = None
    return list(names)


def encode_number(values: pd.Series, feature: Feature) -> Array:
    """Return numbers as float32; text that reads as a number is one."""
    import pandas as pd

    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else ""
    try:
        if pd.api.types.is_datetime64_any_dtype(values) or kind == "m":
            raise TypeError(values.dtype)
        plain = values if kind in ("f", "i", "u") else pd.to_numeric(values, errors="raise").astype("float64")
    except (ValueError, TypeError):
        wrong = values[pd.to_numeric(values.astype(str), errors="coerce").isna() & values.notna()]
        raise ValueError(
            f"Column {feature['name']!r} takes numbers, not {wrong.iloc[0] if len(wrong) else values.iloc[0]!r}."
        ) from None
    return narrow_numbers(plain.to_numpy(na_value=np.nan), feature)


def narrow_numbers(numbers: Array, feature: Feature) -> Array:
    """Return numbers as float32, which is what XGBoost computes with."""
    with np.errstate(over="ignore"):
        narrow = np.asarray(numbers, np.float32)
    if np.isinf(narrow).any():
        raise ValueError(f"Column {feature['name']!r} has an infinite value. Send a finite one, or none.")
    return narrow


def encode_boolean(values: pd.Series, feature: Feature) -> Array:
    """Return True, False and what reads like them as 1 and 0."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        numbers = np.asarray(values.astype("float64").to_numpy(na_value=np.nan), np.float32)
        odd = ~np.isnan(numbers) & ~np.isin(numbers, (0, 1))
        if odd.any():
            raise ValueError(f"Column {feature['name']!r} takes true or false, not {values[odd].iloc[0]!r}.")
        return numbers
    return find_truths(values.astype(object).where(values.notna(), None), feature)


def find_truths(values: Iterable[Any], feature: Feature) -> Array:
    """Return what reads like true or false as 1 and 0; None and NaN as NaN."""
    known = list(values)
    codes = [np.nan if is_gap(value) else TRUTHS.get(str(value).lower()) for value in known]
    if None in codes:
        raise ValueError(f"Column {feature['name']!r} takes true or false, not {known[codes.index(None)]!r}.")
    return np.asarray(codes, np.float32)


def encode_category(values: pd.Series, feature: Feature) -> Array:
    """Return each value's position among the feature's categories; others, and gaps, as NaN."""
    import pandas as pd

    codes, distinct = pd.factorize(values)
    known = find_codes([*distinct, None], index_categories(feature))  # a gap's code is -1, the last
    return np.asarray(known[codes])


def index_categories(feature: Feature) -> dict[str, int]:
    """Return the position of each category."""
    return {name: code for code, name in enumerate(feature["categories"])}


def find_codes(values: Iterable[Any], positions: dict[str, int]) -> Array:
    """Return the position of each value's text; of others, and gaps, NaN."""
    return np.array([np.nan if is_gap(value) else positions.get(_to_text(value), np.nan) for value in values], np.float32)


def _to_text(value: Any) -> str:
    """Return a category as the table's text has it; whole numbers without a fraction."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def is_gap(value: Any) -> bool:
    """Tell whether a plain value stands for nothing: None or NaN."""
    return value is None or bool(value != value)


def encode_date(values: pd.Series, feature: Feature) -> Array:
    """Return the parts of dates, of shape (n_rows, n_parts); text is read as ISO 8601, times with a zone as UTC."""
    import pandas as pd

    try:
        known = values if pd.api.types.is_datetime64_any_dtype(values) else values.astype("str").where(values.notna())
        dates = pd.to_datetime(known, format=None if known is values else "ISO8601", utc=True, errors="raise").dt.tz_localize(
            None
        )
    except (ValueError, TypeError):
        raise ValueError(f"Column {feature['name']!r} takes dates such as 2026-01-31 or 2026-01-31T12:00:00.") from None
    return split_dates(dates.to_numpy(), feature)


def split_dates(dates: Array, feature: Feature) -> Array:
    """Return the parts of dates (datetime64, shape (n_rows,)), of shape (n_rows, n_parts)."""
    parts = np.column_stack([np.asarray(DATE_PARTS[part](dates), np.float64) for part in feature["parts"]])
    parts[np.isnat(dates)] = np.nan
    return parts.astype(np.float32)


ENCODERS = {"number": encode_number, "boolean": encode_boolean, "category": encode_category, "date": encode_date}


def load_predictor(folder: str | Path) -> Predictor:
    """Load the predictor that lies in a folder."""
    contract = json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
    booster = xgb.Booster(model_file=Path(folder) / "model.ubj")
    return Predictor(booster, contract)


def _load_pyfunc(path: str) -> Predictor:
    """Answer MLflow, which looks for a loader of this name."""
    return load_predictor(path)
