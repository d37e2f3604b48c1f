from .comparison.settings import Compare as Compare
from .deployment.settings import Deploy as Deploy
from .registry.settings import Registry as Registry
from .scoring.settings import Score as Score
from .sweep.settings import Sweep as Sweep
from .tracking.start import start_run as start_run
from .training.settings import Train as Train
from .widgets.form import show_form as show_form

__version__: str
