from .plan import Deployment as Deployment
from .settings import Deploy as Deploy
