from .parameters import Settings as Settings
from .parameters import read_parameters as read_parameters
from .session import is_headless as is_headless
from .settings import Tracked as Tracked
