from .paired import compare_pair as compare_pair
from .selection import select_runs as select_runs
from .steps import Comparison as Comparison
