from .gate import find_gate as find_gate
from .operation import open_operation as open_operation
from .plots import plot_timeline as plot_timeline
from .tables import (
    tabulate_history as tabulate_history,
    tabulate_models as tabulate_models,
    tabulate_versions as tabulate_versions,
)
