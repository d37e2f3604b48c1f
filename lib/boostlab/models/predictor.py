"""The predictor: it takes raw rows and returns predictions in the user's terms.

This file, ``contract.py``, ``booster.py`` and ``ubjson.py`` are copied into each logged model, so that loading the model does not
need boostlab. They import only numpy, pandas and xgboost, and read only the model's own folder (``model.ubj`` and
``contract.json``). Training encodes its rows with the same functions and so sees the same numbers. :mod:`boostlab.serving` works
without pandas: it calls only the functions that take arrays and plain values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .booster import load_booster
from .contract import EPOCH_UNITS, NUMERIC_DATES, Contract, Feature, Label

if TYPE_CHECKING:
    import pandas as pd
    import xgboost as xgb

Array = np.ndarray[Any, Any]
BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
EPOCH = np.datetime64("1970-01-01")
DATE_PARTS = {  # of an array of datetime64
    "year": lambda dates: dates.astype("M8[Y]").astype(np.int64) + 1970,
    "month": lambda dates: dates.astype("M8[M]").astype(np.int64) % 12 + 1,
    "day": lambda dates: (dates.astype("M8[D]") - dates.astype("M8[M]")).astype(np.int64) + 1,
    "weekday": lambda dates: (dates.astype("M8[D]").astype(np.int64) + 3) % 7,  # Monday is 0
    "hour": lambda dates: (dates - dates.astype("M8[D]")).astype("m8[h]").astype(np.int64),
    "minute": lambda dates: (dates - dates.astype("M8[h]")).astype("m8[m]").astype(np.int64),
    "second": lambda dates: (dates - dates.astype("M8[m]")).astype("m8[ms]").astype(np.int64) / 1000,
    "days": lambda dates: (dates - EPOCH) / np.timedelta64(1, "D"),  # since 1970
}


class Predictor:
    """A booster, and the contract that says what it was trained on: rows that :func:`encode_rows` made of the features."""

    def __init__(self, booster: xgb.Booster, contract: Contract) -> None:
        self.booster, self.contract = booster, contract

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> Array | pd.DataFrame:
        """Return a prediction for each row.

        Parameters
        ----------
        rows : DataFrame of shape (n_rows, at least n_features)
            Columns in any order; other columns are ignored. A category that training did not see counts as a missing value,
            and so does an optional column that is left out.
        params : dict, optional
            ``{"probabilities": True}`` asks a classifier for one column of probabilities per class.

        Returns
        -------
        ndarray of shape (n_rows,) or DataFrame of shape (n_rows, n_classes)
            Values in the unit of the target, or labels as the target column had them, or probabilities, or one column for each
            quantile: they are sorted, so that they do not cross.

        Raises
        ------
        ValueError
            If a required column is missing, a value does not fit its column's type, or a regressor is asked for
            probabilities.
        """
        wants_probabilities = bool((params or {}).get("probabilities", False))
        if self.contract.task == "regression":
            if wants_probabilities:
                raise ValueError("probabilities: a regression model has none. Leave the parameter out.")
            return _to_frame(self.answers(rows), self.contract.answer_names)
        probabilities = self.answers(rows)
        if wants_probabilities:
            return _to_frame(probabilities, [str(label) for label in self.contract.labels])
        return choose_labels(probabilities, self.contract.labels)

    def answers(self, rows: pd.DataFrame) -> Array:
        """Return the numbers that metrics judge, as :func:`to_answers` makes them."""
        return to_answers(self._raw(rows), self.contract)

    def _raw(self, rows: pd.DataFrame) -> Array:
        import xgboost as xgb

        features = self.contract.features
        matrix = xgb.DMatrix(
            encode_rows(rows, features),
            feature_names=safe_names(features),
            feature_types=input_types(features),
            enable_categorical=True,
        )
        return np.asarray(self.booster.predict(matrix))


def to_answers(raw: Array, contract: Contract) -> Array:
    """Return a booster's output as predictions, as ascending quantiles, or as the probability of each label.

    Returns
    -------
    ndarray of float64, shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
    """
    wide = raw.astype(np.float64)
    if not contract.labels:
        return np.sort(wide.reshape(-1, len(contract.quantiles))) if contract.answer_names else wide
    classes = len(contract.labels)  # a booster of two classes gives the probability of the second alone
    return np.column_stack([1 - wide, wide]) if classes == 2 and raw.ndim == 1 else wide.reshape(-1, classes)


def _to_frame(answers: Array, names: list[str]) -> Array | pd.DataFrame:
    if not names:
        return answers
    import pandas as pd

    return pd.DataFrame(answers, columns=names)


def choose_labels(probabilities: Array, labels: Sequence[Label]) -> Array:
    """Return the most probable label of each row, of the type that the target column had."""
    dtype = object if isinstance(labels[0], str) else None
    return np.asarray(np.asarray(labels, dtype=dtype)[probabilities.argmax(axis=1)])


def encode_rows(rows: pd.DataFrame, features: Sequence[Feature]) -> Array:
    """Return rows as the booster's inputs, one column for each of :func:`input_names`.

    Numbers stay, booleans become 0 and 1, categories their position in the feature's list, dates their parts. A missing
    value and a category outside the list become NaN.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_inputs)
    """
    required = [feature.name for feature in features if not feature.optional]
    missing = [name for name in required if name not in rows.columns]
    if missing:
        raise ValueError(f"Columns missing: {', '.join(missing)}. The model needs: {', '.join(required)}.")
    matrix = np.full((len(rows), len(input_names(features))), np.nan, np.float32, order="F")
    position = 0
    for feature in features:
        if feature.name in rows.columns:
            encoded = ENCODERS[feature.type](rows[feature.name], feature)
            matrix[:, position : position + feature.width] = encoded.reshape(len(rows), feature.width)
        position += feature.width
    return matrix


def input_names(features: Sequence[Feature]) -> list[str]:
    """Return the names of the booster's inputs: the column's name, or ``column.part`` for dates."""
    return [
        f"{feature.name}.{part}" if part else feature.name
        for feature in features
        for part in (feature.parts if feature.type == "date" else ("",))
    ]


def input_types(features: Sequence[Feature]) -> list[str]:
    """Return XGBoost's types of the booster's inputs: ``c`` for a category, ``q`` for a quantity."""
    is_set = {feature.name: feature.type == "category" and not feature.ordered for feature in features}
    return ["c" if is_set[feature.name] else "q" for feature in features for _ in range(feature.width)]


def safe_names(features: Sequence[Feature]) -> list[str]:
    """Return the input names as XGBoost takes them: without ``[``, ``]`` and ``<``, and without duplicates."""
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
    """Return numbers as float32; a text that reads as a number counts as one."""
    import pandas as pd

    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else ""
    try:
        if pd.api.types.is_datetime64_any_dtype(values) or kind == "m":
            raise TypeError(values.dtype)
        plain = values if kind in ("f", "i", "u") else pd.to_numeric(values, errors="raise").astype("float64")
    except (ValueError, TypeError):
        wrong = values[pd.to_numeric(values.astype(str), errors="coerce").isna() & values.notna()]
        raise ValueError(
            f"Column {feature.name!r} takes numbers, not {wrong.iloc[0] if len(wrong) else values.iloc[0]!r}."
        ) from None
    return narrow_numbers(drop_missing(plain.to_numpy(na_value=np.nan), feature), feature.name)


def drop_missing(numbers: Array, feature: Feature) -> Array:
    """Return numbers with NaN for those that mean a missing value."""
    if not feature.missing:
        return numbers
    missing = np.asarray(feature.missing, numbers.dtype if numbers.dtype.kind == "f" else np.float64)  # a float32 has its -999.9
    return np.where(np.isin(numbers, missing), np.nan, numbers)


def narrow_numbers(numbers: Array, name: str) -> Array:
    """Return the numbers of the column `name` as float32, the type that XGBoost computes with."""
    with np.errstate(over="ignore"):
        narrow = np.asarray(numbers, np.float32)
    if np.isinf(narrow).any():
        raise ValueError(f"Column {name!r} has an infinite value. Send a finite value, or leave it out.")
    return narrow


def encode_boolean(values: pd.Series, feature: Feature) -> Array:
    """Return 1 for true and 0 for false; numbers and texts that read as true or false count as such."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        numbers = np.asarray(values.astype("float64").to_numpy(na_value=np.nan), np.float32)
        odd = ~np.isnan(numbers) & ~np.isin(numbers, (0, 1))
        if odd.any():
            raise ValueError(f"Column {feature.name!r} takes true or false, not {values[odd].iloc[0]!r}.")
        return numbers
    return parse_booleans(values.astype(object).where(values.notna(), None), feature.name)


def parse_booleans(values: Iterable[Any], name: str) -> Array:
    """Return 1 for each value of the column `name` that reads as true, 0 for false, NaN for None and NaN."""
    known = list(values)
    codes = [np.nan if is_missing(value) else BOOLEANS.get(str(value).lower()) for value in known]
    if None in codes:
        raise ValueError(f"Column {name!r} takes true or false, not {known[codes.index(None)]!r}.")
    return np.asarray(codes, np.float32)


def encode_category(values: pd.Series, feature: Feature) -> Array:
    """Return each value's position among the feature's categories; NaN for other values and for missing ones.

    Among whole numbers, a text that reads as a number counts as one.
    """
    import pandas as pd

    if feature.mlflow_type == "double":
        values = pd.to_numeric(values, errors="coerce").astype("float64")
    codes, distinct = pd.factorize(values)
    known = find_codes([*distinct, None], index_categories(feature))  # the code of a missing value is -1: the last
    return np.asarray(known[codes])


def index_categories(feature: Feature) -> dict[str | None, int]:
    """Return the position of each category, and of a missing value (None) if it stands for one."""
    positions: dict[str | None, int] = {name: code for code, name in enumerate(feature.categories)}
    return positions | ({None: positions[feature.gap]} if feature.gap else {})


def find_codes(values: Iterable[Any], positions: dict[str | None, int]) -> Array:
    """Return the position of each value's text; NaN for values that have none."""
    return np.array([positions.get(None if is_missing(value) else _to_text(value), np.nan) for value in values], np.float32)


def _to_text(value: Any) -> str:
    """Return a category's text; a whole number has no decimals."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def is_missing(value: Any) -> bool:
    """Tell whether a plain value is missing: None or NaN."""
    return value is None or bool(value != value)


def encode_date(values: pd.Series, feature: Feature) -> Array:
    """Return the parts of dates, shape (n_rows, n_parts).

    Text has the feature's format or ISO 8601. Numbers count time since 1970 if the feature says so. Times with a zone become UTC.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return split_dates(pd.to_datetime(values, utc=True).dt.tz_localize(None).to_numpy(), feature.parts)
    if feature.format in NUMERIC_DATES:
        try:
            numbers = pd.to_numeric(values, errors="raise").astype("float64").to_numpy(na_value=np.nan)
            return split_dates(dates_of_numbers(drop_missing(numbers, feature), feature.format), feature.parts)
        except (ValueError, TypeError):
            raise ValueError(describe_wrong_date(feature)) from None
    known = values.astype("str").where(values.notna())
    try:
        dates = pd.to_datetime(known, format=feature.format or "ISO8601", utc=True)
    except (ValueError, TypeError):
        try:
            dates = pd.to_datetime(known, format="ISO8601", utc=True)
        except (ValueError, TypeError):
            raise ValueError(describe_wrong_date(feature)) from None
    return split_dates(dates.dt.tz_localize(None).to_numpy(), feature.parts)


def dates_of_numbers(numbers: Array, form: str) -> Array:
    """Return numbers that stand for dates, in one of the formats NUMERIC_DATES, as datetime64; NaN becomes NaT.

    Raises
    ------
    ValueError
        If a number is no date, or is too large for one.
    """
    known = ~np.isnan(numbers)
    if (np.abs(numbers[known]) >= (2**63 / 1e6 * EPOCH_UNITS[form] if form in EPOCH_UNITS else 1e8)).any():
        raise ValueError("a number is too large for a date")
    if form in EPOCH_UNITS:
        dates = np.round(np.where(known, numbers, 0) / EPOCH_UNITS[form] * 1e6).astype(np.int64).astype("M8[us]")
    else:
        texts = [f"{int(number):08d}" for number in np.where(known, numbers, 19700101)]
        dates = np.array([f"{text[:-4]}-{text[-4:-2]}-{text[-2:]}" for text in texts], "M8[us]")
    return np.where(known, dates, np.datetime64("NaT", "us"))


def describe_wrong_date(feature: Feature) -> str:
    """Return the message for a value that is no date."""
    if feature.format in NUMERIC_DATES:
        return f"Column {feature.name!r} takes dates as numbers ({feature.format})."
    own = f", or in the format {feature.format}" if feature.format else ""
    return f"Column {feature.name!r} takes dates such as 2026-01-31 or 2026-01-31T12:00:00{own}."


def split_dates(dates: Array, parts: Sequence[str]) -> Array:
    """Return the named parts of dates (datetime64, shape (n_rows,)), shape (n_rows, n_parts)."""
    columns = np.column_stack([np.asarray(DATE_PARTS[part](dates), np.float64) for part in parts])
    columns[np.isnat(dates)] = np.nan
    return columns.astype(np.float32)


ENCODERS = {"number": encode_number, "boolean": encode_boolean, "category": encode_category, "date": encode_date}


def load_predictor(folder: str | Path) -> Predictor:
    """Load the predictor from a folder that holds ``model.ubj`` and ``contract.json``."""
    contract = Contract.read(folder)
    return Predictor(load_booster(folder, contract), contract)


_load_pyfunc = load_predictor  # the name that MLflow looks for
