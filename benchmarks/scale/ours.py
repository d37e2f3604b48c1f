"""Do all the work of ``train.ipynb`` on a table, under a limit of memory, and print the figures as JSON."""

from __future__ import annotations

import json
import sys
import time

import matplotlib.pyplot  # noqa: F401  # what the notebook loads counts before the limit
import sklearn.model_selection  # noqa: F401
from tests.support.settings import make_settings

from benchmarks.scale.peak import Peak, limit_memory
from boostlab.data import check_data, load_table, profile_columns, split_table
from boostlab.evaluation import evaluate_test, explain_model, find_slices, plot_test
from boostlab.evaluation.holdout import make_holdout
from boostlab.evaluation.training_rows import make_training_rows
from boostlab.training import fit_booster, plot_target


def main() -> None:
    """Train and evaluate."""
    path, memory, limit, params = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    peak = Peak()
    if limit:
        limit_memory(limit)
    started = time.perf_counter()
    settings = make_settings(dataset=path, target="y", memory=memory, early_stopping_rounds=0, **params)
    table = load_table(settings)
    plot_target(table)
    split = split_table(table, settings)
    columns = profile_columns(split)
    check_data(split, columns)
    fitting = time.perf_counter()
    fit = fit_booster(split, columns, settings)
    fit_s = time.perf_counter() - fitting
    explain_model(fit.predictor, split.valid)
    evaluation = evaluate_test(fit.predictor, split)
    evaluation.metrics()
    plot_test(evaluation)
    find_slices(evaluation, fit.predictor, split.valid)
    make_holdout(evaluation, is_of_model=True)
    make_training_rows(split)
    figures = {"fit_s": fit_s, "whole_s": time.perf_counter() - started, "peak_mb": peak.bytes / 1e6, "rows": len(table)}
    print(
        json.dumps(
            {**figures, "memory": table.placement.name, "rmse": evaluation.scores["rmse"], "table_mb": table.data.nbytes / 1e6}
        )
    )


if __name__ == "__main__":
    main()
