from .kit import create_lab as create_lab, find_kit as find_kit
from .parameters import check_parameters as check_parameters, read_parameters as read_parameters
from .session import is_headless as is_headless
from .settings import Settings as Settings, Tracked as Tracked
