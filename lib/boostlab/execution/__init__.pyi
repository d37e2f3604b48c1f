from .headless import execute as execute
from .jobs import Job as Job
from .jobs import start as start
