"""Progress of a training, as one line in the notebook that is written over."""

from __future__ import annotations

import time
from typing import Any

import xgboost as xgb

INTERVAL_S = 0.5


class RoundProgress(xgb.callback.TrainingCallback):
    """Shows rounds done, the current validation metric and an estimate of the time left, at most twice a second."""

    def __init__(self, num_boost_round: int) -> None:
        super().__init__()
        self._total = num_boost_round
        self._handle: Any = None
        self._started = self._shown = 0.0

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        from IPython.display import display

        self._started = self._shown = time.monotonic()
        self._handle = display({"text/plain": "training …"}, raw=True, display_id=True)
        return model

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        now = time.monotonic()
        if now - self._shown >= INTERVAL_S:
            self._shown = now
            left = (now - self._started) / (epoch + 1) * (self._total - epoch - 1)
            self._show(epoch, evals_log, f"at most {left:.0f} s left")
        self._last = epoch, evals_log
        return False

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        self._show(*self._last, f"{time.monotonic() - self._started:.1f} s")
        return model

    def _show(self, epoch: int, evals_log: Any, duration: str) -> None:
        metric, values = list(evals_log["valid"].items())[-1]
        text = f"round {epoch + 1} of {self._total} · valid {metric} {values[-1]:.5g} · {duration}"
        if self._handle is not None:
            self._handle.update({"text/plain": text}, raw=True)
