from .evidence import Evidence as Evidence, fetch_evidence as fetch_evidence
from .run import Run as Run
from .start import start_run as start_run
from .store import Store as Store, find_store as find_store, open_current as open_current, open_store as open_store
