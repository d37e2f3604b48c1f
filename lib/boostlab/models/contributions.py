"""Contributions: how much each column moves a row's prediction away from the mean prediction (SHAP values, by XGBoost itself).

They are in the unit of the booster's margin, its output before any transformation, such as log-odds. The contributions of a row
and the bias sum to its margin. XGBoost computes them exactly, with the training rows that reached each node as the reference
(Lundberg, Erion and Lee 2018, arXiv:1802.03888). This module travels with the predictor, and imports only numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .contract import Contract
from .conversion import Array

CONTRIBUTIONS, BIAS, PREDICTION = "contributions", "bias", "prediction"  # the keys of a row's explanation
UNITS = {  # of the margin, by the objective; of all others, it is the unit of the target
    "binary:logistic": "log-odds",
    "multi:softprob": "log-probability, not normalised",
    "reg:logistic": "log-odds of the target",
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "log of the mean"),
}


def sum_by_column(raw: Array, contract: Contract) -> Array:
    """Return the contribution of each column, the sum over the booster's inputs that it becomes; the bias stays the last.

    Parameters
    ----------
    raw : ndarray of float32, shape (n_rows, n_outputs, n_inputs + 1); of no rows, any empty one

    Returns
    -------
    ndarray of float64, shape (n_rows, n_outputs, n_features + 1)
    """
    starts = np.cumsum([0, *(feature.width for feature in contract.features)])
    shaped = raw.astype(np.float64).reshape(-1, max(len(name_outputs(contract)), 1), starts[-1] + 1)
    return np.asarray(np.add.reduceat(shaped, starts, axis=2))


def name_outputs(contract: Contract) -> list[str]:
    """Return the names of the booster's outputs: the second of two classes, else each class, or each of several quantiles."""
    labels = [str(label) for label in contract.labels]
    return labels[1:] if len(labels) == 2 else labels or contract.answer_names


def list_explanations(contributions: Array, predictions: Sequence[Any], contract: Contract) -> list[dict[str, Any]]:
    """Return each row's prediction, bias and contributions, by column; of named outputs, those of each output.

    Parameters
    ----------
    contributions : ndarray of float64, shape (n_rows, n_outputs, n_features + 1)
    predictions : sequence of length n_rows
    """
    columns, outputs, explained = contract.names, name_outputs(contract), []
    for prediction, row in zip(predictions, contributions.tolist(), strict=True):
        each = [dict(zip(columns, values[:-1], strict=True)) for values in row]
        bias = [values[-1] for values in row]
        named = (dict(zip(outputs, bias, strict=True)), dict(zip(outputs, each, strict=True))) if outputs else (bias[0], each[0])
        explained.append({PREDICTION: prediction, BIAS: named[0], CONTRIBUTIONS: named[1]})
    return explained


def describe_unit(objective: str, contract: Contract) -> str:
    """Return the unit of a booster's margin, and so of its contributions.

    Examples
    --------
    >>> describe_unit("binary:logistic", Contract("classification", ("no", "yes"), ()))
    'log-odds of yes'
    """
    unit = UNITS.get(objective, "unit of the target")
    return f"{unit} of {contract.labels[1]}" if len(contract.labels) == 2 else unit


def explain_refusal(error: Exception) -> str:
    """Return why XGBoost computes no contributions of a booster, and what to do."""
    reason = str(error).strip().splitlines()[0].rpartition(": ")[2].rstrip(".")
    return f"contributions: XGBoost has none for this model ({reason}). Train it without multi_strategy: multi_output_tree."
