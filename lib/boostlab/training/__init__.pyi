from .cross_validation import cross_validate as cross_validate
from .final_model import make_final_model as make_final_model
from .fit import fit_booster as fit_booster
from .fold_plots import plot_folds as plot_folds
from .learning_curve import learn_sizes as learn_sizes
from .plots import plot_learning_curves as plot_learning_curves, plot_target as plot_target
