"""The rows of a part as the workers of a Dask cluster hold them: encoded here, so that all of them have the same codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    sent: Callable[[int], object],
    like: DaskQuantileDMatrix | None = None,
) -> DaskDMatrix:
    """Send the rows of a part to workers, and return them as XGBoost's matrix: binned for the hist method.

    The rows are dealt in turn, as cards are: XGBoost takes the mean of the workers' own quantiles for some objectives, which is
    wrong if each worker has rows of another time or place. No more than 32 MB of inputs are on their way at a time.

    Parameters
    ----------
    workers : sequence of str
        Addresses; no more than the part has rows.
    sent : callable
        Receives the number of rows that were sent meanwhile.
    like : xgboost.dask.DaskQuantileDMatrix, optional
        The matrix of the training part, whose bins the others share.
    """
    targets = {name: values for name, values in find_targets(part, contract).items() if values is not None}
    inputs = describe_inputs(contract)
    rounds = max(1, BLOCK_BYTES // (4 * len(inputs["feature_names"]) * len(workers)))  # of dealing, for a block
    shares: dict[str, list[Any]] = {name: [] for name in ("data", *targets)}
    start = 0
    for block in _cut(part, contract, rounds * len(workers)):
        columns = {"data": block, **{name: values[start : start + len(block)] for name, values in targets.items()}}
        start += len(block)
        for place, worker in enumerate(workers[: len(block)]):
            for name, values in columns.items():
                own = np.ascontiguousarray(values[place :: len(workers)])
                # workers of this machine get it straight from here; others may not be reachable but through the scheduler
                future = client.scatter(own, workers=[worker], hash=False, direct=client.cluster is not None)
                shares[name].append(da.from_delayed(future, own.shape, own.dtype))
        sent(len(block))
    arrays = {name: da.concatenate(parts) for name, parts in shares.items()}
    if is_binned(params):
        return DaskQuantileDMatrix(client, ref=like, max_bin=params.get("max_bin"), **arrays, **inputs)
    return DaskDMatrix(client, **arrays, **inputs)


def make_sample(part: Part, contract: Contract, rows: int) -> xgb.DMatrix:
    """Return the first rows of a part as a matrix in this process."""
    few = part.take(np.arange(min(rows, len(part))))
    return xgb.DMatrix(
        np.concatenate(list(encode_part(few, contract))), **find_targets(few, contract), **describe_inputs(contract)
    )


def _cut(part: Part, contract: Contract, rows: int) -> Iterator[Array]:
    """Yield the encoded rows of a part in blocks of `rows` rows, but for the last one; float32, shape (n_rows, n_inputs)."""
    waiting: list[Array] = []
    for codes in encode_part(part, contract):
        waiting.append(codes)
        while sum(map(len, waiting)) >= rows:
            whole = np.concatenate(waiting)
            yield whole[:rows]
            waiting = [whole[rows:]]
    last = np.concatenate(waiting)
    if len(last):
        yield last
