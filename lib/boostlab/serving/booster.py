"""Predictions through XGBoost's documented C interface, without its Python package.

The values are the same. The package imports scipy, which takes most of a server's start and half of an image, and for one row
``Booster.inplace_predict`` spends most of its time elsewhere: it inspects the type of its input, makes a class for the result,
and creates a proxy matrix on each call, which reads the machine's limits from files. Here each thread has its own buffers.
"""

from __future__ import annotations

import ctypes
import json
import runpy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from boostlab.models.booster import find_xgboost
from boostlab.models.conversion import Array

OPTIONS = b'{"type":%d,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":true}'
VALUES, CONTRIBUTIONS = OPTIONS % 0, OPTIONS % 2
ARRAY_INTERFACE = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'  # numpy's, as JSON
SHARE_ROWS = {VALUES: 256, CONTRIBUTIONS: 4}  # fewer rows take less time than to wake up a thread
DENSE_OPTIONS = b'{"missing":NaN,"nthread":1}'


class BoosterError(ValueError):
    """XGBoost refuses a booster or its input."""


class Booster:
    """A trained booster, for any number of threads.

    Parameters
    ----------
    content : bytes
        A booster in UBJSON that :func:`boostlab.models.booster.check_booster` has passed.
    threads : int
        The most threads that share the rows of one call. They are not XGBoost's own: those are asked for also by a call for one
        row, which then takes twice the processor time.

    Attributes
    ----------
    objective : str
        What the booster minimised, as XGBoost names it.

    Raises
    ------
    BoosterError
        If XGBoost cannot read it.
    """

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        library = _library()
        self._handle = _Handle("XGBoosterCreate", None, ctypes.c_uint64(0))
        _check(library.XGBoosterLoadModelFromBuffer(self._handle, content, ctypes.c_uint64(len(content))))
        _check(library.XGBoosterSetParam(self._handle, b"nthread", b"1"))
        width, length, text = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_char_p()
        _check(library.XGBoosterGetNumFeature(self._handle, ctypes.byref(width)))
        _check(library.XGBoosterSaveJsonConfig(self._handle, ctypes.byref(length), ctypes.byref(text)))
        learner = json.loads(text.value or b"")["learner"]
        self.objective = str(learner["objective"]["name"])
        # only tree boosters predict without a DMatrix, and DART then rounds differently
        self._is_in_place = learner["gradient_booster"]["name"] == "gbtree"
        self._width, self._buffers = width.value, _Buffers()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)  # it starts its threads at their first work: after a fork

    def predict(self, matrix: Array) -> Array:
        """Return the booster's output for each row.

        Parameters
        ----------
        matrix : ndarray of float32, shape (n_rows, n_inputs)
            C-contiguous; NaN is a missing value.

        Returns
        -------
        ndarray of float32, shape (n_rows,) or (n_rows, n_classes)

        Raises
        ------
        ValueError
            If the library would read beyond the matrix: another width, dtype or memory order.
        """
        return self._share(matrix, VALUES)

    def contribute(self, matrix: Array) -> Array:
        """Return how much each input adds to each output's margin, and last the bias.

        Parameters
        ----------
        matrix : ndarray of float32, shape (n_rows, n_inputs)
            As for :meth:`predict`; one row at least.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_outputs, n_inputs + 1)

        Raises
        ------
        BoosterError
            If XGBoost computes no contributions of this booster.
        ValueError
            As :meth:`predict` does.
        """
        return self._share(matrix, CONTRIBUTIONS)

    def _share(self, matrix: Array, options: bytes) -> Array:
        """Let the threads share the rows."""
        rows, width = matrix.shape
        if width != self._width or matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            raise ValueError(
                f"The matrix is {matrix.dtype} of shape {matrix.shape}. "
                f"The booster takes C-contiguous float32 of shape (n, {self._width})."
            )
        count = min(self._threads, rows // SHARE_ROWS[options])
        if count < 2:
            return self._predict(matrix, options)
        shares = np.array_split(matrix, count)
        others = [self._pool.submit(self._predict, share, options) for share in shares[1:]]
        return np.concatenate([self._predict(shares[0], options), *(other.result() for other in others)])

    def _predict(self, matrix: Array, options: bytes) -> Array:
        library, buffers, (rows, width) = _library(), self._buffers, matrix.shape
        interface = ARRAY_INTERFACE % (matrix.__array_interface__["data"][0], rows, width)
        if self._is_in_place and options is VALUES:
            _check(library.XGBoosterPredictFromDense(self._handle, interface, options, buffers.proxy, *buffers.results))
        else:
            data = _Handle("XGDMatrixCreateFromDense", interface, DENSE_OPTIONS)
            _check(library.XGBoosterPredictFromDMatrix(self._handle, data, options, *buffers.results))
        groups, size = buffers.shape[1], 1 if options is VALUES else width + 1
        copied = ctypes.string_at(buffers.values, rows * groups * size * matrix.itemsize)  # the next call overwrites this memory
        values = np.frombuffer(copied, np.float32)
        if options is CONTRIBUTIONS:
            return values.reshape(rows, groups, size)
        return values if groups == 1 else values.reshape(rows, groups)


class _Buffers(threading.local):
    """What a call writes to: one set for each thread."""

    def __init__(self) -> None:
        self.proxy = _Handle("XGProxyDMatrixCreate")
        self.shape, self.values = ctypes.POINTER(ctypes.c_uint64)(), ctypes.POINTER(ctypes.c_float)()
        self.results = (ctypes.byref(self.shape), ctypes.byref(ctypes.c_uint64()), ctypes.byref(self.values))


class _Handle(ctypes.c_void_p):
    """An object of the library, made by its function `create` and freed with this one."""

    def __init__(self, create: str, *arguments: Any) -> None:
        super().__init__()
        _check(getattr(_library(), create)(*arguments, ctypes.byref(self)))
        self._free = _library().XGBoosterFree if create == "XGBoosterCreate" else _library().XGDMatrixFree

    def __del__(self) -> None:
        if self:
            self._free(self)


@cache
def _library() -> Any:
    """Load the library that the package would load, found by the package's own search."""
    find: Callable[[], list[str]] = runpy.run_path(str(find_xgboost() / "libpath.py"))["find_lib_path"]
    library = ctypes.CDLL(find()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _check(code: int) -> None:
    if code:
        raise BoosterError(_library().XGBGetLastError().decode().splitlines()[0])
