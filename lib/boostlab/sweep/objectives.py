"""The objectives of a study: which metrics of its trials are made lower or higher."""

from __future__ import annotations

from collections.abc import Collection

from boostlab.errors import LabError, suggest
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.sweep.settings import TEST_PART, Sweep
from boostlab.sweep.trial import Objective

VALID, FOLDS = "best_valid_", "cv_"
WORDS = {"lower": "minimize", "higher": "maximize"}


def find_objectives(settings: Sweep, recorded: Collection[str] = ()) -> tuple[Objective, ...]:
    """Return the objectives of a study.

    Parameters
    ----------
    recorded : collection of str
        Names of the metrics that a first trial recorded. They are needed only if the settings name no metric: the objective is
        then the metric of the model on its validation rows, or with ``folds`` that of the cross-validation. Which one this is
        follows from the table, so that it is known after a training.

    Raises
    ------
    LabError
        If no metric is named and none can be found, or a direction is not known.
    """
    names = settings.metric or [_find_metric(recorded, has_folds=bool(settings.fixed.get("folds")))]
    directions = settings.direction or ["auto"] * len(names)
    return tuple(Objective(name, _find_direction(name, word)) for name, word in zip(names, directions, strict=True))  # type: ignore[arg-type]


def _find_metric(recorded: Collection[str], *, has_folds: bool) -> str:
    valid = next((name for name in recorded if name.startswith(VALID)), "")
    folds = f"{FOLDS}{valid.removeprefix(VALID)}"
    found = folds if has_folds and folds in recorded else valid
    if not found:
        shown = ", ".join(sorted(name for name in recorded if not name.startswith(TEST_PART))) or "none"
        raise LabError(f"The trials record no {VALID}… metric. Name one: -y 'metric: [NAME]'. The first trial recorded: {shown}.")
    return found


def check_recorded(objectives: Collection[Objective], recorded: Collection[str]) -> None:
    """Refuse objectives that a finished trial has not recorded.

    Raises
    ------
    LabError
        If a metric is missing.
    """
    known = sorted(name for name in recorded if not name.startswith(TEST_PART))
    for objective in objectives:
        if objective.metric not in recorded:
            raise LabError(
                f"The trials record no metric {objective.metric!r}.{suggest(objective.metric, known)} They record: "
                f"{', '.join(known) or 'none'}."
            )


def _find_direction(metric: str, word: str) -> str:
    if word != "auto":
        return WORDS[word]
    try:
        return "maximize" if is_higher_better(metric) else "minimize"
    except LabError as error:
        raise LabError(f"{error} For another metric, give the direction: -y 'direction: [lower]', or higher.") from None
