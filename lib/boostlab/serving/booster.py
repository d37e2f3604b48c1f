"""Trees asked through XGBoost's C interface.

``Booster.inplace_predict`` answers the same, but for one row it spends most of its time on other things: it looks what kind of
table it was given, makes a class for the result, and has the library set up a table each time, which reads the limits of
the machine from files. Here a thread's table is set up once.
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
HOW = b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":true}'
TABLE = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'  # numpy's array interface


class Trees(threading.local):
    """A booster of trees, as one thread sees it.

    Parameters
    ----------
    booster : xgboost.Booster
        Without linear part or dropped trees, which the library does not answer in place.
    """

    def __init__(self, booster: xgb.Booster) -> None:
        self._booster, self._width = booster, booster.num_features()
        self._table = _Table()
        self._shape, self._depth = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self._values = ctypes.POINTER(ctypes.c_float)()
        results = (ctypes.byref(self._shape), ctypes.byref(self._depth), ctypes.byref(self._values))
        self._given = (ctypes.c_char_p(HOW), self._table, *results)

    def predict(self, matrix: Array) -> Array:
        """Return what the trees say to each row.

        Parameters
        ----------
        matrix : ndarray of float32, shape (n_rows, n_inputs)
            Row by row in memory; NaN is what is missing.

        Returns
        -------
        ndarray of float32, shape (n_rows,) or (n_rows, n_classes)

        Raises
        ------
        ValueError
            If the library would read beyond the matrix.
        """
        rows, width = matrix.shape
        if width != self._width or matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            raise ValueError(
                f"The trees take float32 of shape (n, {self._width}), row by row, not {matrix.dtype} of {matrix.shape}."
            )
        table = TABLE % (matrix.__array_interface__["data"][0], rows, width)
        _check(LIBRARY.XGBoosterPredictFromDense(self._booster.handle, table, *self._given))
        groups = self._shape[1]
        copied = ctypes.string_at(self._values, rows * groups * matrix.itemsize)  # the library uses its memory again
        values = np.frombuffer(copied, np.float32)
        return values if groups == 1 else values.reshape(rows, groups)


class _Table(ctypes.c_void_p):
    """What the library calls a proxy: it stands for a table that lies elsewhere in memory."""

    def __init__(self) -> None:
        super().__init__()
        _check(LIBRARY.XGProxyDMatrixCreate(ctypes.byref(self)))

    def __del__(self) -> None:
        LIBRARY.XGDMatrixFree(self)


def _check(code: int) -> None:
    if code:
        raise xgb.core.XGBoostError(LIBRARY.XGBGetLastError().decode())
