"""The predictor: it takes raw rows and returns predictions in the user's terms.

This file and ``answers.py``, ``contributions.py``, ``conversion.py``, ``dates.py``, ``contract.py``, ``booster.py`` and
``ubjson.py`` are copied into each logged model, so that loading the model does not need boostlab. They import only numpy, pandas
and xgboost, and read only the model's own folder (``model.ubj`` and ``contract.json``). Training encodes its rows with the same
functions and so sees the same numbers. :mod:`boostlab.serving` works without pandas: it calls only the functions that take arrays
and plain values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .answers import choose_labels, to_answers
from .booster import load_booster
from .contract import NUMERIC_DATES, Contract, Feature
from .contributions import BIAS, CONTRIBUTIONS, PREDICTION, describe_unit, explain_refusal, list_explanations, sum_by_column
from .conversion import (
    Array,
    ConversionError,
    drop_missing,
    narrow_numbers,
    to_booleans,
    to_codes,
    to_numbers,
)
from .dates import split_dates, to_dates

if TYPE_CHECKING:
    import pandas as pd
    import xgboost as xgb

FEW_CELLS = 1_000_000  # one thread copies fewer in less time than it takes to start others


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
            ``{"probabilities": True}`` asks a classifier for one column of probabilities per class. ``{"contributions": True}``
            asks for an explanation of each row: the columns ``prediction``, ``bias`` and ``contributions``, a dict from each
            feature to its contribution; with several outputs, a dict of them for each.

        Returns
        -------
        ndarray of shape (n_rows,) or DataFrame of shape (n_rows, n_classes)
            Values in the unit of the target, or labels as the target column had them, or probabilities, or one column for each
            quantile: they are sorted, so that they do not cross.

        Raises
        ------
        ValueError
            If a required column is missing, a value does not fit its column's type, a regressor is asked for
            probabilities, or XGBoost cannot explain the booster.
        """
        if (params or {}).get(CONTRIBUTIONS, False):
            return self._explain(rows, {name: value for name, value in (params or {}).items() if name != CONTRIBUTIONS})
        wants_probabilities = bool((params or {}).get("probabilities", False))
        if self.contract.task == "regression":
            if wants_probabilities:
                raise ValueError("probabilities: a regression model has none. Leave the parameter out.")
            return _to_frame(self.answers(rows), self.contract.answer_names)
        probabilities = self.answers(rows)
        if wants_probabilities:
            return _to_frame(probabilities, [str(label) for label in self.contract.labels])
        return choose_labels(probabilities, self.contract)

    def answers(self, rows: pd.DataFrame) -> Array:
        """Return the numbers that metrics judge, as :func:`~boostlab.models.answers.to_answers` makes them."""
        return self.answer_inputs(encode_rows(rows, self.contract.features))

    def answer_inputs(self, inputs: Array) -> Array:
        """Return what :meth:`answers` returns, of rows that :func:`encode_rows` has encoded."""
        return to_answers(self._ask(inputs), self.contract)

    @property
    def margin_unit(self) -> str:
        """The unit of the booster's margin and of contributions, such as ``log-odds of yes``."""
        return describe_unit(json.loads(self.booster.save_config())["learner"]["objective"]["name"], self.contract)

    def contributions(self, rows: pd.DataFrame) -> Array:
        """Return how much each feature adds to each of the booster's outputs, and last the bias; they sum to the margin.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_outputs, n_features + 1)

        Raises
        ------
        ValueError
            If XGBoost cannot explain the booster.
        """
        import xgboost as xgb

        try:
            inputs = encode_rows(rows, self.contract.features)
            return sum_by_column(self._ask(inputs, pred_contribs=True, strict_shape=True), self.contract)
        except xgb.core.XGBoostError as error:
            raise ValueError(explain_refusal(error)) from None

    def _explain(self, rows: pd.DataFrame, params: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        predicted = self.predict(rows, params)
        listed = predicted.to_dict(orient="records") if isinstance(predicted, pd.DataFrame) else predicted.tolist()
        explained = list_explanations(self.contributions(rows), listed, self.contract)
        return pd.DataFrame(explained, columns=[PREDICTION, BIAS, CONTRIBUTIONS])

    def _ask(self, inputs: Array, **options: bool) -> Array:
        import xgboost as xgb

        names, types = safe_names(self.contract.features), input_types(self.contract.features)
        threads = 1 if inputs.size < FEW_CELLS else None
        matrix = xgb.DMatrix(inputs, feature_names=names, feature_types=types, enable_categorical=True, nthread=threads)
        return np.asarray(self.booster.predict(matrix, **options))


def _to_frame(answers: Array, names: list[str]) -> Array | pd.DataFrame:
    if not names:
        return answers
    import pandas as pd

    return pd.DataFrame(answers, columns=names)


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
    plain = values.to_numpy() if _has_kind(values, "fiu") else _to_floats(values)  # a float32 stays one
    numbers = _convert(values, partial(to_numbers, name=feature.name)) if plain is None else plain
    return narrow_numbers(drop_missing(numbers, feature), feature.name)


def encode_boolean(values: pd.Series, feature: Feature) -> Array:
    """Return 1 for true and 0 for false; numbers and texts that read as true or false count as such."""
    plain = _to_floats(values)
    return _convert(values, partial(to_booleans, name=feature.name)) if plain is None else to_booleans(plain, feature.name)


def encode_category(values: pd.Series, feature: Feature) -> Array:
    """Return each value's position among the feature's categories; NaN for other values and for missing ones."""
    return _convert(values, partial(to_codes, feature=feature))


def encode_date(values: pd.Series, feature: Feature) -> Array:
    """Return the parts of dates, shape (n_rows, n_parts). Times with a zone become UTC."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        dates = pd.to_datetime(values, utc=True).dt.tz_localize(None).to_numpy()
    else:
        plain = _to_floats(values) if feature.format in NUMERIC_DATES and not pd.api.types.is_bool_dtype(values) else None
        dates = _convert(values, partial(to_dates, feature=feature)) if plain is None else to_dates(plain, feature)
    return split_dates(dates, feature.parts)


def _has_kind(values: pd.Series, kinds: str) -> bool:
    return isinstance(values.dtype, np.dtype) and values.dtype.kind in kinds


def _to_floats(values: pd.Series) -> Array | None:
    """Return a column of numbers or booleans as float64, or None if it has another type."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(values) or _has_kind(values, "c"):
        return None
    return np.asarray(values.to_numpy(np.float64, na_value=np.nan))


def _convert(values: pd.Series, convert: Callable[[list[Any]], Array]) -> Array:
    """Convert each distinct value once; in a column of mixed types each value, because True and 1 are equal."""
    import pandas as pd

    if values.dtype == object and pd.api.types.infer_dtype(values) not in ("string", "empty"):
        return convert(values.where(values.notna(), None).tolist())
    codes, distinct = pd.factorize(values)
    try:
        return convert([*distinct, None])[codes]  # the code of a missing value is -1: the last
    except ConversionError as error:
        raise error.at(int((codes == error.row).argmax())) from None


ENCODERS = {"number": encode_number, "boolean": encode_boolean, "category": encode_category, "date": encode_date}


def load_predictor(folder: str | Path) -> Predictor:
    """Load the predictor from a folder that holds ``model.ubj`` and ``contract.json``."""
    contract = Contract.read(folder)
    return Predictor(load_booster(folder, contract), contract)


_load_pyfunc = load_predictor  # the name that MLflow looks for
