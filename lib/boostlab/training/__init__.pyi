from .fit import fit_booster as fit_booster, rank_features as rank_features
from .metrics import evaluate_answers as evaluate_answers
from .settings import Train as Train
