"""Predictions through XGBoost's C interface.

``Booster.inplace_predict`` gives the same values. For one row it spends most of its time elsewhere: it inspects the type of
its input, makes a class for the result, and creates a proxy matrix on each call, which reads the machine's limits from files.
Here each thread creates its proxy matrix once.
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import xgboost as xgb
from xgboost.libpath import find_lib_path

from boostlab.models.predictor import Array

LIBRARY = ctypes.CDLL(find_lib_path()[0])  # the one that XGBoost has loaded
LIBRARY.XGBGetLastError.restype = ctypes.c_char_p
OPTIONS = b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":true}'
ARRAY_INTERFACE = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'  # numpy's, as JSON


class InPlaceBooster(threading.local):
    """A booster of type ``gbtree`` that predicts without a DMatrix. Each thread has its own buffers."""

    def __init__(self, booster: xgb.Booster) -> None:
        self._booster, self._width = booster, booster.num_features()
        self._proxy = _ProxyMatrix()
        self._shape, self._dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self._values = ctypes.POINTER(ctypes.c_float)()
        results = (ctypes.byref(self._shape), ctypes.byref(self._dimensions), ctypes.byref(self._values))
        self._arguments = (ctypes.c_char_p(OPTIONS), self._proxy, *results)

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
        rows, width = matrix.shape
        if width != self._width or matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            raise ValueError(
                f"The matrix is {matrix.dtype} of shape {matrix.shape}. "
                f"The booster takes C-contiguous float32 of shape (n, {self._width})."
            )
        interface = ARRAY_INTERFACE % (matrix.__array_interface__["data"][0], rows, width)
        _check(LIBRARY.XGBoosterPredictFromDense(self._booster.handle, interface, *self._arguments))
        groups = self._shape[1]
        copied = ctypes.string_at(self._values, rows * groups * matrix.itemsize)  # the next call overwrites this memory
        values = np.frombuffer(copied, np.float32)
        return values if groups == 1 else values.reshape(rows, groups)


class _ProxyMatrix(ctypes.c_void_p):
    """XGBoost's proxy DMatrix: a handle for data that stays in the caller's memory."""

    def __init__(self) -> None:
        super().__init__()
        _check(LIBRARY.XGProxyDMatrixCreate(ctypes.byref(self)))

    def __del__(self) -> None:
        LIBRARY.XGDMatrixFree(self)


def _check(code: int) -> None:
    if code:
        raise xgb.core.XGBoostError(LIBRARY.XGBGetLastError().decode())
