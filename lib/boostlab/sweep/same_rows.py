"""A check that the trials of a study were judged on the same rows: a table may have changed between two sweeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from boostlab.data.settings import FoldSettings, TableSettings
from boostlab.data.tags import JUDGING_TAG
from boostlab.errors import LabError

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
        self._first: tuple[str, str] = ("", "")  # a trial's run and its rows

    def check_runs(self, runs: Collection[Run]) -> None:
        """Check the finished trials of earlier sweeps; see :meth:`check`."""
        for run in runs:
            if run.info.status == "FINISHED":
                self.check(run.data.tags, name=run.info.run_name or run.info.run_id)

    def check(self, tags: Mapping[str, str], *, name: str) -> None:
        """Check a finished trial, pruned ones too, by the tags of its run; one that recorded no split passes.

        Raises
        ------
        LabError
            If other rows judged it than the trials before.
        """
        rows = tags.get(JUDGING_TAG, "")
        if rows and not self._first[1]:
            self._first = name, rows
        if self._is_checked and rows and rows != self._first[1]:
            raise LabError(
                f"The trials {self._first[0]} and {name} of the study {self._study} were judged on different rows: the table or "
                "its split has changed between them, and their values cannot be compared. Name another study: -p study NAME. Or "
                "remove the runs of one of the two tables (mlflow runs delete --run-id ID), and go on with the other one."
            )
