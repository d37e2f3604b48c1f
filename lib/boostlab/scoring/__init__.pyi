from .drift import Drift as Drift
from .scorer import score_file as score_file
from .settings import Score as Score
from .steps import prepare_scoring as prepare_scoring
