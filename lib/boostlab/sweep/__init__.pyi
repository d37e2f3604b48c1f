from .search import Search as Search
from .settings import Sweep as Sweep
from .space import Space as Space
from .trial import Trial as Trial
