from .search import Search as Search
from .space import Space as Space
from .steps import Sweeper as Sweeper
from .trial import Trial as Trial
