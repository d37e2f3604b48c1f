from .search import Search as Search
from .settings import Sweep as Sweep
from .space import Space as Space
from .steps import Sweeper as Sweeper
from .trial import Trial as Trial
