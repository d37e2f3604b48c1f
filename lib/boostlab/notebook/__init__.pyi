from .kit import KIT as KIT, create_lab as create_lab
from .parameters import check_parameters as check_parameters, read_parameters as read_parameters
from .session import is_headless as is_headless
from .settings import Settings as Settings, Tracked as Tracked
