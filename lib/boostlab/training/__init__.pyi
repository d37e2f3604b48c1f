from .fit import fit_booster as fit_booster
from .metrics import evaluate_test as evaluate_test
from .plots import (
    plot_importance as plot_importance,
    plot_learning_curves as plot_learning_curves,
    plot_target as plot_target,
    plot_test as plot_test,
)
from .settings import Train as Train
from .training_rows import log_holdout as log_holdout
