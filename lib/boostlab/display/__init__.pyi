from .progress import RoundProgress as RoundProgress, RowProgress as RowProgress
from .tables import Table as Table
