"""Models that are equally good, by construction: their errors have one distribution and a common part."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def draw_regression(draw: np.random.Generator, rows: int, models: int, *, groups: Array | None = None) -> tuple[Array, Array]:
    """Return a target of shape (n_rows,), and predictions of shape (n_models, n_rows) with heavy-tailed errors.

    `groups` numbers the rows' groups from 0; three quarters of a model's own error is then common to a group.
    """
    hard, own = draw.standard_t(5, rows), draw.standard_t(5, (models, rows))
    if groups is not None:
        own = 0.25 * own + 0.75 * draw.standard_t(5, (models, groups.max() + 1))[:, groups]
    return np.zeros(rows), hard + 0.5 * own


def draw_classes(draw: np.random.Generator, rows: int, models: int) -> tuple[Array, Array]:
    """Return classes 0 and 1 of shape (n_rows,), and probabilities of shape (n_models, n_rows, 2)."""
    signal = draw.standard_normal(rows)
    true = (draw.random(rows) < 1 / (1 + np.exp(-1.5 * signal))).astype(int)
    true[:4] = 0, 0, 1, 1  # each class has two rows
    second = 1 / (1 + np.exp(-1.2 * signal - 0.7 * draw.standard_normal((models, rows))))
    return true, np.stack([1 - second, second], axis=2)
