from .settings import Deploy as Deploy
