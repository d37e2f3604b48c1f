"""Names of the data sets that ship with scikit-learn."""

from __future__ import annotations

from typing import Literal

Dataset = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
