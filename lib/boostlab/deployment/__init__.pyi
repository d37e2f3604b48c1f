from .settings import Deploy as Deploy
from .steps import Deployment as Deployment
