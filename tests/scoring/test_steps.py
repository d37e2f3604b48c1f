"""The steps of score.ipynb, with a registered model and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nbformat
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from tests.support.docker import NAME, start_recording
from tests.support.paths import PROJECT

from boostlab import Score
from boostlab.errors import DataError, LabError
from boostlab.notebook.parameters import check_parameters
from boostlab.scoring import prepare_scoring

SCORE = nbformat.read(PROJECT / "notebooks" / "score.ipynb", as_version=4)


@pytest.fixture
def prepare(version_store: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that prepares the steps for some settings, with the test rows of a data set as `rows`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", version_store.tracking_uri)
    load_diabetes(as_frame=True, scaled=False).data.head(40).to_csv(tmp_path / "rows.csv", index=False)
    given = {"model": NAME, "rows": str(tmp_path / "rows.csv")}
    return lambda **other: prepare_scoring(start_recording(), cast(Score, check_parameters(SCORE, given | other)))


def test_without_a_model_it_lists_the_registered_models_and_scores_nothing(prepare: Any) -> None:
    scoring = prepare(model="", rows="")

    assert NAME in scoring.show_version()._repr_html_()
    assert [shown.data for shown in (scoring.score(), *scoring.log_drift())] == ["Nothing to do: no model is named."] * 2
    models, hint = scoring.summarize()
    assert NAME in models._repr_html_() and "-p model NAME" in hint.data


def test_scores_the_rows_and_sums_up(prepare: Any, tmp_path: Path) -> None:
    scoring = prepare(stage="produção")

    assert scoring.show_version().data == f"Version 2 of `{NAME}`, in stage production."
    shown, written = scoring.score(), pd.read_csv(tmp_path / "rows-scored.csv").head(5)
    assert (shown.columns[0], written.columns[-1]) == ("prediction", "prediction")
    assert shown["prediction"].tolist() == written["prediction"].tolist()
    table, figure = scoring.log_drift()
    assert figure.png.startswith(b"\x89PNG") and {row[0] for row in table.rows} == set(pd.read_csv(tmp_path / "rows.csv").columns)
    counts, sentence = scoring.summarize()
    assert sum(count for _, count in counts.rows) == len(table.rows)
    assert "Version 2 scored 40 rows" in sentence.data and "with the new columns `prediction`." in sentence.data


def test_refuses_probabilities_of_a_regression_model(prepare: Any) -> None:
    with pytest.raises(DataError, match=r"is a regression model\. Only classification models have probabilities"):
        prepare(probabilities=True)


def test_adds_reasons_with_their_unit_and_refuses_more_than_there_are_columns(prepare: Any, tmp_path: Path) -> None:
    scoring = prepare(reasons=2)
    scoring.score()
    scored = pd.read_csv(tmp_path / "rows-scored.csv")
    assert list(scored.columns[-5:]) == ["prediction", "reason 1", "contribution 1", "reason 2", "contribution 2"]
    assert scored["contribution 1"].abs().ge(scored["contribution 2"].abs()).all()
    assert scoring.summarize()[-1].data.endswith("Contributions are in the unit of the booster's margin: unit of the target.")

    with pytest.raises(DataError, match=r"reasons=11, but .* has 10 columns.* Choose fewer reasons\."):
        prepare(reasons=11)


@pytest.mark.parametrize("wrong", [-1, 1001, 2.5])
def test_refuses_a_number_of_reasons_that_is_none(prepare: Any, wrong: float) -> None:
    with pytest.raises(LabError, match="reasons"):
        prepare(reasons=wrong)
