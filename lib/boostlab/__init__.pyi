from .errors import LabError as LabError
from .tracking.run import start_run as start_run
from .widgets.form import show_form as show_form

__version__: str
