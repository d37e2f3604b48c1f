from .markdown import escape as escape, format_code as format_code, show_markdown as show_markdown
from .progress import RoundProgress as RoundProgress, RowProgress as RowProgress
from .tables import Details as Details, Link as Link, Table as Table
