from .backup import Backup as Backup, backup_store as backup_store, restore_store as restore_store
from .copying import copy_store as copy_store
from .diagnosis import Check as Check, diagnose as diagnose
from .pair import CopyReport as CopyReport
from .retention import Unneeded as Unneeded, delete_unneeded as delete_unneeded, find_unneeded as find_unneeded
