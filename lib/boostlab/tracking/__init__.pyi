from .run import Run as Run
from .run import start_run as start_run
from .store import Store as Store
from .store import find_store as find_store
from .store import open_current as open_current
from .store import open_store as open_store
