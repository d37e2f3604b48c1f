"""The steps of ``score.ipynb``: show the version, score the file, record the drift of its columns, sum up."""

from __future__ import annotations

from typing import Any

import pandas as pd
from IPython.display import Markdown

from boostlab.display.markdown import format_code
from boostlab.display.progress import RowProgress
from boostlab.display.tables import Table
from boostlab.registry.tables import tabulate_models
from boostlab.scoring.drift import Drift, plot_drift
from boostlab.scoring.scorer import Scored, Scorer, choose_scorer, name_output, score_file
from boostlab.scoring.settings import Score
from boostlab.tracking.run import Run
from boostlab.tracking.store import open_current

MAX_SHOWN_COLUMNS = 4


def prepare_scoring(run: Run, settings: Score) -> Scoring | NothingToScore:
    """Return the steps of a notebook: those that score, or without a model those that list the registered models.

    Raises
    ------
    LabError
        If the model has no such version, its files are gone, or its training recorded no holdout rows.
    """
    client = open_current().client
    if not settings.model:
        return NothingToScore(tabulate_models(client))
    return Scoring(choose_scorer(client, settings), run, settings)


class Scoring:
    """The steps with a model. Call them in the order in which they stand here."""

    def __init__(self, scorer: Scorer, run: Run, settings: Score) -> None:
        self._scorer, self._run, self._settings = scorer, run, settings
        self._drift = Drift(scorer.contract.features, scorer.holdout)
        self._scored: Scored

    def show_version(self) -> Markdown:
        """Return which version scores."""
        return Markdown(f"Version {self._scorer.version} of {self._settings.model}, in stage {self._scorer.stage}.")

    def score(self) -> pd.DataFrame:
        """Score the file, display the progress and return the first rows of the output."""
        progress = RowProgress()

        def watch(frame: pd.DataFrame) -> None:
            self._drift.add(frame)
            progress.add(len(frame))

        self._scored = score_file(
            self._scorer.model,
            self._scorer.contract,
            rows=self._settings.rows,
            output=name_output(self._settings.rows, self._settings.output),
            probabilities=self._settings.probabilities,
            chunk_rows=self._settings.chunk_rows,
            watch=watch,
        )
        progress.show()
        return self._scored.head

    def log_drift(self) -> list[Any]:
        """Record the drift of each column; return its table and its figure."""
        table = self._drift.tabulate()
        figure = self._run.log_figure(plot_drift(table["drift (PSI)"]), "drift")
        self._run.log_text(table.to_json(orient="index", indent=1), "drift/columns.json")
        self._run.log_metrics({"rows": self._scored.rows, "columns_drifted": int((table["verdict"] == "drifted").sum())})
        return [table, figure]

    def summarize(self) -> list[Any]:
        """Return the number of columns with each verdict, and a sentence about the output."""
        columns = self._scored.columns
        added = ", ".join(map(format_code, columns[:MAX_SHOWN_COLUMNS])) + (" …" if len(columns) > MAX_SHOWN_COLUMNS else "")
        sentence = (
            f"Version {self._scorer.version} scored {self._scored.rows:,} rows. "
            f"{format_code(str(self._scored.path))} has them with the new columns {added}."
        )
        return [self._drift.tabulate()["verdict"].value_counts().to_frame("columns"), Markdown(sentence)]


class NothingToScore:
    """The same steps without a model: they list the registered models and score nothing."""

    def __init__(self, models: Table) -> None:
        self._models = models
        self._nothing = Markdown("Nothing to do: no model is named.")

    def show_version(self) -> Table:
        """Return the registered models."""
        return self._models

    def score(self) -> Markdown:
        """Return a note that there is nothing to do."""
        return self._nothing

    def log_drift(self) -> list[Any]:
        """Record nothing."""
        return [self._nothing]

    def summarize(self) -> list[Any]:
        """Return the registered models, and how to name one."""
        hint = "No rows were scored, because no model is named. Name one of these models: `-p model NAME -p rows FILE`."
        return [self._models, Markdown(hint)]
