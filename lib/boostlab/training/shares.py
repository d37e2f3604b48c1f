"""The rows of a part as the workers of a Dask cluster hold them: encoded here, so that all of them have the same codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xgboost as xgb
from distributed import Client
from xgboost.dask import DaskDMatrix, DaskQuantileDMatrix

from boostlab.data.splits import Part
from boostlab.data.table import encode_labels
from boostlab.errors import DataError
from boostlab.models.contract import Contract
from boostlab.models.predictor import encode_rows, input_types, safe_names

BLOCK_BYTES = 32 << 20  # sent at a time
Array = np.ndarray[Any, Any]


def share_part(
    client: Client,
    part: Part,
    contract: Contract,
    params: Mapping[str, Any],
    *,
    workers: Sequence[str],
    like: DaskQuantileDMatrix | None = None,
) -> DaskDMatrix:
    """Send the rows of a part to workers, and return them as XGBoost's matrix: binned for the hist method.

    Each worker gets the same number of blocks. No more than one block is in this process.

    Parameters
    ----------
    workers : sequence of str
        Addresses; no more than the part has rows.
    like : xgboost.dask.DaskQuantileDMatrix, optional
        The matrix of the training part, whose bins the others share.
    """
    labels = encode_labels(part.target, contract.labels) if contract.labels else part.target.to_numpy(np.float32)
    width = len(input_types(contract.features))
    blocks = -(-len(part) * width * 4 // (BLOCK_BYTES * len(workers))) * len(workers)
    edges = np.linspace(0, len(part), blocks + 1).astype(np.int64)
    sent: dict[str, list[Any]] = {"data": [], "label": [], "weight": []}
    for number, inputs in enumerate(_cut(part, contract, np.diff(edges), width)):
        here = slice(edges[number], edges[number + 1])
        address = [workers[number % len(workers)]]
        columns = {"data": inputs, "label": labels[here]} | ({} if part.weight is None else {"weight": part.weight[here]})
        for name, values in columns.items():
            future = client.scatter(values, workers=address, hash=False)
            sent[name].append(da.from_delayed(future, values.shape, values.dtype))
    arrays = {name: da.concatenate(parts) for name, parts in sent.items() if parts}
    facts: dict[str, Any] = {"feature_names": safe_names(contract.features), "feature_types": input_types(contract.features)}
    data = arrays.pop("data")
    if params.get("tree_method", "auto") in ("auto", "hist"):
        return DaskQuantileDMatrix(
            client, data, ref=like, max_bin=params.get("max_bin"), enable_categorical=True, **arrays, **facts
        )
    return DaskDMatrix(client, data, enable_categorical=True, **arrays, **facts)


def make_sample(part: Part, contract: Contract, rows: int) -> xgb.DMatrix:
    """Return the first rows of a part as a matrix in this process."""
    few = part.take(np.arange(min(rows, len(part))))
    labels = encode_labels(few.target, contract.labels) if contract.labels else few.target.to_numpy(np.float32)
    inputs = next(_cut(few, contract, [len(few)], len(input_types(contract.features))))
    names, types = safe_names(contract.features), input_types(contract.features)
    return xgb.DMatrix(inputs, label=labels, weight=few.weight, feature_names=names, feature_types=types, enable_categorical=True)


def _cut(part: Part, contract: Contract, sizes: Sequence[int] | Array, width: int) -> Iterator[Array]:
    """Yield the encoded rows of a part in blocks of the given numbers of rows; float32, shape (size, width)."""
    frames, codes = part.batches(contract.names), np.empty((0, width), np.float32)
    for size in sizes:
        block, filled = np.empty((size, width), np.float32), 0
        while filled < size:
            if not len(codes):
                try:
                    codes = encode_rows(next(frames), contract.features)
                except ValueError as error:
                    raise DataError(f"{part.table.name}: {error}") from None
            taken = min(size - filled, len(codes))
            block[filled : filled + taken] = codes[:taken]
            codes, filled = codes[taken:], filled + taken
        yield block
