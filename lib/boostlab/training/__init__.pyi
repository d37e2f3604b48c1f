from .fit import fit_booster as fit_booster
from .plots import (
    plot_importance as plot_importance,
    plot_learning_curves as plot_learning_curves,
    plot_target as plot_target,
)
from .settings import Train as Train
