"""What the boosting rounds leave: the booster, its curves, how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xgboost as xgb

History = Mapping[str, Mapping[str, list[float]]]  #: by part and metric: one value per round


@dataclass(frozen=True)
class Boosting:
    """The result of the boosting rounds."""

    booster: xgb.Booster  #: with all rounds
    history: History
    duration_s: float  #: wall time, in seconds
    note: str = ""  #: where and how it ran, in sentences, if not in this process
