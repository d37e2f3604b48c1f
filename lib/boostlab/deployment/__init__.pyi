from .steps import Deployment as Deployment
