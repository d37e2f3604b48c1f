from .columns import list_features as list_features, study_columns as study_columns
from .splits import Split as Split, split_table as split_table
from .table import Roles as Roles, Table as Table, find_task as find_task, load_table as load_table
