from .plots import plot_drift as plot_drift
from .scorer import score_file as score_file
from .steps import prepare_scoring as prepare_scoring
