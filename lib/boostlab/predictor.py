"""How a trained model answers: raw rows in, predictions in the user's terms out.

This file travels inside every logged model, so that loading one needs none of boostlab: it imports nothing but
numpy, pandas and xgboost, and reads nothing but the model's own folder (``model.ubj`` and ``contract.json``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb


class Predictor:
    """A booster with what is needed to read rows and to name classes.

    Parameters
    ----------
    booster : xgboost.Booster
        Trained on the contract's features, in their order.
    contract : dict
        ``task`` ("regression" or "classification"), ``features`` (list of column names) and ``labels`` (list of the
        classes in the order of the booster's output; empty for regression).
    """

    def __init__(self, booster: xgb.Booster, contract: dict[str, Any]) -> None:
        self.booster = booster
        self.contract = contract

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray[Any, Any] | pd.DataFrame:
        """Return a prediction for each row.

        Parameters
        ----------
        rows : DataFrame of shape (n_rows, at least n_features)
            Columns in any order; those that are no features are ignored.
        params : dict, optional
            ``{"probabilities": True}`` asks a classifier for one column of probabilities per class.

        Returns
        -------
        ndarray of shape (n_rows,) or DataFrame of shape (n_rows, n_classes)
            Values in the unit of the target, or labels as the target column had them; probabilities if asked for.

        Raises
        ------
        ValueError
            If a feature's column is missing, or a regressor is asked for probabilities.
        """
        wants_probabilities = bool((params or {}).get("probabilities", False))
        if self.contract["task"] == "regression":
            if wants_probabilities:
                raise ValueError("probabilities: a regression model has none. Leave the parameter out.")
            return np.asarray(self._raw(rows), np.float64)
        probabilities = self.probabilities(rows)
        if wants_probabilities:
            return pd.DataFrame(probabilities, columns=[str(label) for label in self.contract["labels"]])
        return np.asarray(np.asarray(self.contract["labels"])[probabilities.argmax(axis=1)])

    def probabilities(self, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
        """Return the probability of each class, of shape (n_rows, n_classes), in the order of the contract's labels."""
        raw = self._raw(rows).astype(np.float64)
        return np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw

    def _raw(self, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
        features = self.contract["features"]
        missing = [name for name in features if name not in rows.columns]
        if missing:
            raise ValueError(f"Columns missing: {', '.join(missing)}. The model takes: {', '.join(features)}.")
        return np.asarray(self.booster.predict(xgb.DMatrix(rows[features], feature_names=features)))


def load_predictor(folder: str | Path) -> Predictor:
    """Load the predictor that lies in a folder."""
    contract = json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
    booster = xgb.Booster(model_file=Path(folder) / "model.ubj")
    return Predictor(booster, contract)


def _load_pyfunc(path: str) -> Predictor:
    """Answer MLflow, which looks for a loader of this name."""
    return load_predictor(path)
