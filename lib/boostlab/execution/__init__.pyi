from .headless import execute as execute
from .jobs import Job as Job, start as start
