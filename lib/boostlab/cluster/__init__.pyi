from .connection import connect as connect, count_cores as count_cores
from .members import Members as Members, list_workers as list_workers
from .usage import Usage as Usage, find_dashboard as find_dashboard
from .versions import check_versions as check_versions, read_versions as read_versions
