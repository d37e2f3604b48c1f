from .copying import copy_store as copy_store
from .pair import CopyReport as CopyReport
