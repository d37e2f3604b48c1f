"""Reasons for a prediction: the columns with the largest contributions to it, largest first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from boostlab.errors import DataError
from boostlab.models.contract import Contract
from boostlab.models.contributions import CONTRIBUTIONS, PREDICTION, name_outputs

MOST_NUMBERS = 1_000_000  # contributions in memory at a time

Array = np.ndarray[Any, Any]


def name_reasons(count: int) -> list[str]:
    """Return the names of the columns that :func:`find_reasons` adds."""
    return [f"{name} {number}" for number in range(1, count + 1) for name in ("reason", "contribution")]


def find_reasons(model: Any, contract: Contract, frame: pd.DataFrame, *, count: int) -> list[Array]:
    """Return the names and the contributions of the columns that move each row's margin most, in either direction.

    They are those of the predicted class; of two classes, of the second one; of several quantiles, of the one nearest to 0.5.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    frame : DataFrame of shape (n_rows, n_features)

    Returns
    -------
    list of ndarray, shape (n_rows,)
        Names and contributions in turn: a column for each of :func:`name_reasons`.

    Raises
    ------
    DataError
        If the model gives no contributions.
    """
    outputs = name_outputs(contract)
    step = max(MOST_NUMBERS // (len(contract.names) * max(len(outputs), 1)), 1)
    parts = [_explain(model, contract, frame.iloc[start : start + step]) for start in range(0, len(frame), step)]
    contributions = np.concatenate(parts)
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :count]
    largest = np.take_along_axis(contributions, order, axis=1)
    names = np.array(contract.names, dtype=object)[order]
    return [column for place in range(count) for column in (names[:, place], largest[:, place])]


def _explain(model: Any, contract: Contract, frame: pd.DataFrame) -> Array:
    """Return the contributions of one output for each row, shape (n_rows, n_features)."""
    try:
        explained = model.predict(frame, params={CONTRIBUTIONS: True})
    except ValueError as error:
        raise DataError(f"The model gives no reasons. {error}") from None
    if not isinstance(explained, pd.DataFrame) or CONTRIBUTIONS not in explained:
        raise DataError("The model's own code gives no contributions: set reasons to 0, or trust_code to False.")
    outputs = name_outputs(contract)
    fixed = outputs[0] if len(outputs) == 1 else ""
    if contract.answer_names:
        fixed = contract.answer_names[contract.middle]
    rows = zip(explained[PREDICTION], explained[CONTRIBUTIONS], strict=True)
    chosen = [each[fixed or str(prediction)] if outputs else each for prediction, each in rows]
    return np.array([list(each.values()) for each in chosen], np.float64)
