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
from boostlab.models.contract import Contract
from boostlab.training.matrices import describe_inputs, encode_part, find_targets, is_binned

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
    targets = {name: values for name, values in find_targets(part, contract).items() if values is not None}
    inputs = describe_inputs(contract)
    width = len(inputs["feature_names"])
    blocks = -(-len(part) * width * 4 // (BLOCK_BYTES * len(workers))) * len(workers)
    edges = np.linspace(0, len(part), blocks + 1).astype(np.int64)
    sent: dict[str, list[Any]] = {name: [] for name in ("data", *targets)}
    for number, block in enumerate(_cut(part, contract, np.diff(edges), width)):
        here, worker = slice(edges[number], edges[number + 1]), workers[number % len(workers)]
        for name, values in {"data": block, **{name: column[here] for name, column in targets.items()}}.items():
            future = client.scatter(values, workers=[worker], hash=False)
            sent[name].append(da.from_delayed(future, values.shape, values.dtype))
    arrays = {name: da.concatenate(parts) for name, parts in sent.items()}
    if is_binned(params):
        return DaskQuantileDMatrix(client, ref=like, max_bin=params.get("max_bin"), **arrays, **inputs)
    return DaskDMatrix(client, **arrays, **inputs)


def make_sample(part: Part, contract: Contract, rows: int) -> xgb.DMatrix:
    """Return the first rows of a part as a matrix in this process."""
    few = part.take(np.arange(min(rows, len(part))))
    return xgb.DMatrix(
        np.concatenate(list(encode_part(few, contract))), **find_targets(few, contract), **describe_inputs(contract)
    )


def _cut(part: Part, contract: Contract, sizes: Sequence[int] | Array, width: int) -> Iterator[Array]:
    """Yield the encoded rows of a part in blocks of the given numbers of rows; float32, shape (size, width)."""
    encoded, codes = encode_part(part, contract), np.empty((0, width), np.float32)
    for size in sizes:
        block, filled = np.empty((size, width), np.float32), 0
        while filled < size:
            if not len(codes):
                codes = next(encoded)
            taken = min(size - filled, len(codes))
            block[filled : filled + taken] = codes[:taken]
            codes, filled = codes[taken:], filled + taken
        yield block
