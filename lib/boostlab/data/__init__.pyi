from .checks import check_data as check_data
from .columns import profile_columns as profile_columns
from .folds import split_folds as split_folds
from .splits import Split as Split, split_table as split_table
from .table import Table as Table, load_table as load_table
from .task import explain_task as explain_task
