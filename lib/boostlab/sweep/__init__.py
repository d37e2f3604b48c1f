"""Sweeping: a search over the parameters of a notebook, each trial of which is a run with its executed notebook."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
