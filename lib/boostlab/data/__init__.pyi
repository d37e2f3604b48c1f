from .columns import list_features as list_features
from .columns import study_columns as study_columns
from .splits import Split as Split
from .splits import split_table as split_table
from .table import Roles as Roles
from .table import Table as Table
from .table import find_task as find_task
from .table import load_table as load_table
