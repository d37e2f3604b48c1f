from .markdown import escape as escape, format_code as format_code
from .progress import RoundProgress as RoundProgress, RowProgress as RowProgress
from .tables import Link as Link, Table as Table
