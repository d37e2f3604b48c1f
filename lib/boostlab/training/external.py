"""XGBoost's matrix in external memory: pages on disk, of which only those in use are in memory."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost as xgb

from boostlab.data.disk_cache import Cache
from boostlab.data.free_memory import find_free_memory

SMALLEST_PAGE, LARGEST_PAGE = 16 << 20, 256 << 20  # bytes of float32
PAGE_SHARE = 1 / 8  # of the free memory: XGBoost works on several copies of a page
ENTRY_BYTES = 4  # of a value in a page with missing values
BIN_BYTES = {256: 1, 65_536: 2}  # of a value in a page, besides, by the most bins
ROW_BYTES = 24  # of a row in a page, besides its values
BY_ROW = ("label", "weight")
ONCE = ("enable_categorical", "nthread")

Array = np.ndarray[Any, Any]


def make_external_matrix(
    inputs: Array, facts: dict[str, Any], cache: Cache, *, like: xgb.DMatrix | None, max_bin: int | None
) -> xgb.DMatrix:
    """Return XGBoost's matrix of encoded rows, as pages in a cache; the bins are those of `like`, if it is given.

    Parameters
    ----------
    inputs : ndarray of float32, shape (n_rows, n_inputs)
    facts : dict
        What :class:`xgboost.QuantileDMatrix` takes besides.

    Raises
    ------
    DataError
        If the disk has too little room for the pages.
    """
    cache.check_room(estimate_pages(*inputs.shape, max_bin=max_bin or 256))
    once = {name: facts[name] for name in ONCE}
    pages = _Pages(inputs, {name: value for name, value in facts.items() if name not in once}, cache)
    matrix = xgb.ExtMemQuantileDMatrix(pages, ref=like, max_bin=max_bin, **once)
    matrix.cache = cache  # which has its pages, and so must not go before it
    return matrix


def estimate_pages(rows: int, inputs: int, *, max_bin: int) -> int:
    """Return how many bytes XGBoost's pages need at most, as they were measured with XGBoost 3.2."""
    width = next((size for bins, size in BIN_BYTES.items() if max_bin <= bins), 4)
    return rows * (inputs * (ENTRY_BYTES + width) + ROW_BYTES)


class _Pages(xgb.DataIter):
    """The rows in pages of equal size, as XGBoost asks for them: some times, to find the bins and to write the pages."""

    def __init__(self, inputs: Array, facts: dict[str, Any], cache: Cache) -> None:
        size = min(LARGEST_PAGE, max(SMALLEST_PAGE, int(find_free_memory().size * PAGE_SHARE)))
        count = max(1, math.ceil(inputs.nbytes / size))
        self._rows = max(1, math.ceil(len(inputs) / count))
        self._inputs, self._facts, self._start = inputs, facts, 0
        super().__init__(cache_prefix=str(cache.folder / f"pages-{uuid.uuid4().hex}"), on_host=False)

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Give XGBoost the next page; return whether there was one."""
        if self._start >= len(self._inputs):
            return False
        here = slice(self._start, self._start + self._rows)
        by_row = {name: self._facts[name][here] for name in BY_ROW if self._facts[name] is not None}
        input_data(data=self._inputs[here], **{**self._facts, **by_row})
        self._start += self._rows
        return True

    def reset(self) -> None:
        """Begin again."""
        self._start = 0
