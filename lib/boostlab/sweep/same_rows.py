"""A check that the trials of a study were judged on the same rows: a table may have changed between two sweeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from boostlab.data.settings import FoldSettings, TableSettings
from boostlab.errors import LabError
from boostlab.tracking.facts import PRUNED_TAG, SPLIT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

CHOOSING_ROWS = {*TableSettings.model_fields, *FoldSettings.model_fields, "positive_label"}  # parameters


class SameRows:
    """The rows that judged the trials of a study; a study that searches a parameter of the rows is not checked.

    Parameters
    ----------
    searched : collection of str
        Names of the searched parameters.
    """

    def __init__(self, study: str, searched: Collection[str]) -> None:
        self._study, self._is_checked = study, CHOOSING_ROWS.isdisjoint(searched)
        self._split = ""

    def check_runs(self, runs: Collection[Run]) -> None:
        """Check the finished trials of earlier sweeps; see :meth:`check`."""
        for run in runs:
            if run.info.status == "FINISHED" and PRUNED_TAG not in run.data.tags:
                self.check(run.data.tags)

    def check(self, tags: Mapping[str, str]) -> None:
        """Check a finished trial by the tags of its run; one that recorded no split passes.

        Raises
        ------
        LabError
            If other rows judged it than the trials before.
        """
        split = tags.get(SPLIT_TAG, "")
        self._split = self._split or split
        if self._is_checked and split and split != self._split:
            raise LabError(
                f"The trials of the study {self._study} were judged on different rows (splits {self._split} and {split}): the "
                "table has changed between them. Their values cannot be compared. Name another study: -p study NAME."
            )
