"""The steps of ``score.ipynb``: show the version, score the file, record the drift of its columns, sum up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from IPython.display import Markdown

from boostlab.data.drift import Drift
from boostlab.display.markdown import escape, format_code
from boostlab.display.progress import RowProgress
from boostlab.display.tables import Table
from boostlab.errors import DataError
from boostlab.evaluation.holdout import fetch_holdout
from boostlab.models.contract import Contract
from boostlab.models.loading import (
    describe_code,
    fetch_version,
    identify_model,
    is_ours,
    load_version,
    open_predictor,
    read_contract,
)
from boostlab.registry.tables import tabulate_models
from boostlab.registry.view import Version, choose_version
from boostlab.scoring.output import name_output
from boostlab.scoring.plots import plot_drift
from boostlab.scoring.scorer import Score as ScoreChunks, Scored, score_file
from boostlab.scoring.settings import Score
from boostlab.tracking.run import Run
from boostlab.tracking.store import open_current

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_SHOWN_COLUMNS = 4
MOST_DRIFTS = 50  # shown; the run's file has all
NO_HOLDOUT = Markdown("The drift is not measured: boostlab did not train this model, so there are no test rows of it.")
NOTHING = Markdown("Nothing to do: no model is named.")
HINT = Markdown("No rows were scored, because no model is named. Name one of these models: `-p model NAME -p rows FILE`.")


@dataclass(frozen=True)
class LoadedModel:
    """A version of a registered model, and the drift of the rows that it scores; None if boostlab did not train the model."""

    version: Version
    folder: Path
    contract: Contract
    drift: Drift | None


def prepare_scoring(run: Run, settings: Score) -> Scoring:
    """Load the version of the settings, and return the steps of a notebook.

    Raises
    ------
    LabError
        If there is no such version, its files are gone, its training recorded no holdout, a regression model is asked for
        probabilities, or a model is asked for more reasons than it has columns.
    """
    client, name = open_current().client, settings.model
    if not name:
        return Scoring(run, settings, client)
    version = choose_version(client, name, stage=settings.stage, number=settings.version)  # type: ignore[arg-type]
    folder = fetch_version(client, name, version.number)
    contract = read_contract(folder, trust_code=settings.trust_code)
    if settings.probabilities and not contract.labels:
        raise DataError(
            f"probabilities=True, but {name} is a regression model. Only classification models have probabilities: "
            "leave the parameter out."
        )
    if settings.reasons > len(contract.features):
        raise DataError(
            f"reasons={settings.reasons}, but {name} has {len(contract.features)} columns, and so as many contributions at most. "
            "Choose fewer reasons."
        )
    drift = Drift(contract.features, fetch_holdout(client, version.run_id).frame) if is_ours(folder) else None
    return Scoring(run, settings, client, LoadedModel(version, folder, contract, drift))


class Scoring:
    """The steps in their order. Without a model, they show the registered models and score nothing."""

    def __init__(self, run: Run, settings: Score, client: MlflowClient, loaded: LoadedModel | None = None) -> None:
        self._run, self._settings, self._client, self._loaded = run, settings, client, loaded
        self._models = None if loaded else tabulate_models(client)
        self._scored: Scored

    def show_version(self) -> Markdown | Table | None:
        """Return which version scores."""
        if not self._loaded:
            return self._models
        version = self._loaded.version
        trusted = escape(f" Its own code runs. {describe_code(self._loaded.folder)}") if self._settings.trust_code else ""
        return Markdown(f"Version {version.number} of {format_code(self._settings.model)}, in stage {version.stage}.{trusted}")

    def score(self) -> pd.DataFrame | Markdown:
        """Score the file, display the progress and return the first rows of the output, the new columns first."""
        if not self._loaded:
            return NOTHING
        progress = RowProgress()
        with self._open_cluster() as score:
            self._scored = score_file(
                self._load(),
                self._loaded.contract,
                rows=self._settings.rows,
                output=name_output(self._settings.rows, self._settings.output),
                probabilities=self._settings.probabilities,
                reasons=self._settings.reasons,
                chunk_rows=self._settings.chunk_rows,
                read=self._settings.read,
                where=self._settings.where,
                connection=self._settings.connection,
                drift=self._loaded.drift,
                score=score,
                identity="" if self._settings.trust_code else identify_model(self._loaded.folder),
                watch=progress.add,
            )
        progress.show()
        added = list(self._scored.columns)  # the answers first: a table may have more columns than fit
        return self._scored.head[[*added, *self._scored.head.columns.difference(added, sort=False)]]

    def _load(self) -> Any:
        """Return what predicts: the installed predictor, or the model with its own code if that is trusted."""
        assert self._loaded
        if not self._settings.trust_code:
            return open_predictor(self._loaded.folder)
        return load_version(self._client, self._settings.model, self._loaded.version.number, trust_code=True)

    @contextmanager
    def _open_cluster(self) -> Iterator[ScoreChunks | None]:
        """Yield what scores chunks on the workers of the settings; None: this process does."""
        if not self._settings.is_distributed:
            yield None
            return
        from boostlab.scoring.workers import open_workers, score_on_workers  # loads Dask

        assert self._loaded
        with open_workers(self._settings.scheduler, n_workers=self._settings.workers, folder=self._run.folder) as client:
            yield partial(score_on_workers, client, self._loaded.folder)

    def log_drift(self) -> list[Any]:
        """Record the drift of each column; return its table and its figure."""
        if not self._loaded:
            return [NOTHING]
        self._run.log_metrics({"rows": self._scored.rows})
        if not self._loaded.drift:
            return [NO_HOLDOUT]
        table = self._loaded.drift.tabulate()
        figure = self._run.log_figure(plot_drift(table), "drift")
        self._run.log_text(table.to_json(orient="index", indent=1), "drift/columns.json")
        self._run.log_metrics({"columns_drifted": int((table["verdict"] == "drifted").sum())})
        rows = [[name, *row] for name, *row in table.head(MOST_DRIFTS).itertuples()]
        which = f"the {MOST_DRIFTS} largest of {len(table):,}" if len(table) > MOST_DRIFTS else "the largest first"
        return [Table(f"Drift against the holdout, {which}", ["column", *table.columns], rows), figure]

    def summarize(self) -> list[Any]:
        """Return the number of columns with each verdict, and a sentence about the output."""
        if not self._loaded:
            return [self._models, HINT]
        columns = self._scored.columns
        added = ", ".join(map(format_code, columns[:MAX_SHOWN_COLUMNS])) + (" …" if len(columns) > MAX_SHOWN_COLUMNS else "")
        sentence = (
            f"Version {self._loaded.version.number} scored {self._scored.rows:,} rows. "
            f"{format_code(str(self._scored.path))} has them with the new columns {added}."
        )
        if self._scored.rows_not_selected:
            sentence += f" {self._scored.rows_not_selected:,} rows that do not meet `where` were left out."
        if self._scored.rows_kept:
            sentence += f" {self._scored.rows_kept:,} rows had been scored before an interruption, and were not scored again."
        if self._settings.reasons and is_ours(self._loaded.folder):
            unit = escape(open_predictor(self._loaded.folder).margin_unit)
            sentence += f" Contributions are in the unit of the booster's margin: {unit}."
        drift = self._loaded.drift
        if not drift:
            return [NO_HOLDOUT, Markdown(sentence)]
        verdicts = drift.tabulate()["verdict"].value_counts()
        return [Table("Verdicts on the columns", ["verdict", "columns"], list(verdicts.items())), Markdown(sentence)]
