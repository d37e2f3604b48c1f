from .drift import Drift as Drift
from .scorer import choose_scorer as choose_scorer
from .settings import Score as Score
