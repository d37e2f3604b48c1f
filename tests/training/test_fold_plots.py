"""Figures of a cross-validation: the folds' values, and how many rounds their models have."""

from __future__ import annotations

import pytest
from tests.support.figures import check_picture, title
from tests.support.settings import make_settings

from boostlab.data.table import load_table
from boostlab.training.cross_validation import CrossValidation, cross_validate
from boostlab.training.fold_plots import plot_folds


@pytest.mark.parametrize("patience", [0, 3])
def test_the_title_says_how_many_rounds_the_models_have(patience: int) -> None:
    settings = make_settings(folds=3, num_boost_round=30, early_stopping_rounds=patience, eta=0.2)
    done = cross_validate(load_table(settings), settings)
    figure = plot_folds(done)

    assert figure is not None
    check_picture(figure)
    counts = [fold.fit.best_iteration + 1 for fold in done.folds]
    expected = "30" if not patience else f"{min(counts)} to {max(counts)}"
    assert title(figure.axes[1]).replace("\n", " ") == f"The models have {expected} rounds"
    assert min(counts) < max(counts) or not patience


def test_without_folds_there_is_no_figure() -> None:
    assert plot_folds(CrossValidation()) is None
