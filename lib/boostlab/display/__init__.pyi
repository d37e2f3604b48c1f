from .progress import RoundProgress as RoundProgress
from .progress import RowProgress as RowProgress
from .tables import Table as Table
