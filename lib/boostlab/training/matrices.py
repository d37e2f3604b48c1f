"""The rows of a part as XGBoost takes them: encoded, with labels, weights, names and types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from boostlab.data.splits import Part
from boostlab.data.table import encode_labels
from boostlab.errors import DataError
from boostlab.models.contract import Contract
from boostlab.models.predictor import encode_rows, input_types, safe_names
from boostlab.training.external import make_external_matrix

Array = np.ndarray[Any, Any]


def make_matrix(part: Part, contract: Contract, params: Mapping[str, Any], like: xgb.DMatrix | None = None) -> xgb.DMatrix:
    """Return a part as XGBoost's matrix: binned for the hist method, as plain values for the others; on disk if its table is."""
    facts = describe_inputs(contract) | find_targets(part, contract) | {"nthread": params.get("nthread") or None}
    # one array: XGBoost's search for bins takes half as long as with an iterator of batches
    cache, shape = part.table.placement.cache, (len(part), len(facts["feature_names"]))
    inputs = cache.make_array(shape) if cache else np.empty(shape, np.float32)
    start = 0
    for codes in encode_part(part, contract):
        inputs[start : start + len(codes)] = codes
        start += len(codes)
    if cache:
        return make_external_matrix(inputs, facts, cache, like=like, max_bin=params.get("max_bin"))
    if is_binned(params):
        return xgb.QuantileDMatrix(inputs, ref=like, max_bin=params.get("max_bin"), **facts)
    return xgb.DMatrix(inputs, **facts)


def is_binned(params: Mapping[str, Any]) -> bool:
    """Tell whether XGBoost learns from bins that are found once."""
    return params.get("tree_method", "auto") in ("auto", "hist")


def describe_inputs(contract: Contract) -> dict[str, Any]:
    """Return the names and types of a booster's inputs, as the arguments of a matrix."""
    names, types = safe_names(contract.features), input_types(contract.features)
    return {"feature_names": names, "feature_types": types, "enable_categorical": True}


def find_targets(part: Part, contract: Contract) -> dict[str, Array | None]:
    """Return the label and the weight of each row of a part, as the arguments of a matrix; classes as their positions."""
    labels = encode_labels(part.target, contract.labels) if contract.labels else part.target.to_numpy(np.float32)
    return {"label": labels, "weight": part.weight}


def encode_part(part: Part, contract: Contract) -> Iterator[Array]:
    """Yield the encoded rows of a part in batches; float32, shape (n_rows, n_inputs).

    Raises
    ------
    DataError
        If a column holds values of another type than in the training part.
    """
    try:
        for frame in part.batches(contract.names):
            yield encode_rows(frame, contract.features)
    except ValueError as error:
        raise DataError(f"{part.table.name}: {error}") from None
