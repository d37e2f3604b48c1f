"""The decision of a classifier: calibrated probabilities and a threshold, both chosen off the training and the test rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from boostlab.models.answers import calibrate
from boostlab.models.contract import Contract
from boostlab.training.calibration import fit_calibration
from boostlab.training.decision_settings import DecisionSettings
from boostlab.training.threshold import ThresholdCurve, choose_threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Decision:
    """What a classifier does with a booster's probabilities."""

    curve: ThresholdCurve | None = None  #: of the threshold; None: the more probable class is the answer
    calibrate: str = "none"  #: the method of the calibration
    positive: str = ""  #: the class that a row above the threshold has
    rows: str = ""  #: the rows on which both were chosen, in words

    @property
    def reported(self) -> tuple[str, ...]:
        """The metrics that the test part reports because the threshold's rule judges them."""
        return (self.curve.metric,) if self.curve and self.curve.metric else ()

    def metrics(self) -> dict[str, float]:
        """Return what the run records: the threshold, and its rates on the rows that chose it."""
        if self.curve is None:
            return {}
        return {"threshold": self.curve.threshold} | {f"threshold_{name}": value for name, value in self.curve.chosen.items()}

    def describe(self) -> str:
        """Return the decision in words."""
        if not self.positive:
            return "Nothing was asked for: the answers are the booster's own."
        probabilities = "the booster's own" if self.calibrate == "none" else f"calibrated on {self.rows} ({self.calibrate})"
        answer = self.curve.describe(self.rows) if self.curve else "The most probable class is the answer."
        return f"Probabilities are {probabilities}. {answer}"

    def tags(self) -> dict[str, str]:
        """Return the decision as tags of the run; none without one."""
        return {"boostlab.decision": self.describe()} if self.curve or self.calibrate != "none" else {}

    def plot(self) -> dict[str, Figure]:
        """Return the figures of the decision, by name."""
        from boostlab.training.plots import plot_threshold

        return {"threshold": plot_threshold(self.curve, positive=self.positive)} if self.curve else {}


NO_DECISION = Decision()


def decide(
    contract: Contract, true: Array, raw: Array, weight: Array | None = None, *, settings: DecisionSettings, rows: str
) -> tuple[Contract, Decision]:
    """Return the contract with calibration and threshold as the settings ask, and what was decided.

    Parameters
    ----------
    true : ndarray of shape (n_rows,)
        Positions of the classes, of rows that the trees did not learn from.
    raw : ndarray of shape (n_rows, n_classes)
        The booster's own probabilities of these rows.
    weight : ndarray of shape (n_rows,), optional
    rows : str
        Which rows these are, in words.

    Raises
    ------
    TrainingError
        If these rows are too few, or no threshold meets the floor.
    """
    likely, curve = raw, None
    if settings.calibrate != "none":
        calibration = fit_calibration(true, raw, weight, method=settings.calibrate, labels=contract.labels)
        contract, likely = replace(contract, calibration=calibration), calibrate(raw, calibration)
    if settings.threshold:
        curve = choose_threshold(true, likely[:, 1], weight, settings=settings, rows=rows)
        contract = replace(contract, threshold=curve.threshold)
    return contract, Decision(curve, settings.calibrate, str(contract.labels[-1]), rows)
