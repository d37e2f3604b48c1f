from .backup import backup_store as backup_store, restore_store as restore_store
from .copying import copy_store as copy_store
from .diagnosis import diagnose as diagnose
from .retention import delete_unneeded as delete_unneeded, find_unneeded as find_unneeded
