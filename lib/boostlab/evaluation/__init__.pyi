from .explanation_plots import plot_importance as plot_importance
from .explanations import explain_model as explain_model
from .metrics import evaluate_test as evaluate_test
from .plots import plot_test as plot_test
from .slices import find_slices as find_slices
from .time_trend import find_trends as find_trends
from .training_rows import log_holdout as log_holdout, log_out_of_fold as log_out_of_fold
