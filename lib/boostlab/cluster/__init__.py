"""Dask clusters: a connection to a scheduler or to processes of this machine, and the versions that all workers must have."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
