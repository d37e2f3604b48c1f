"""Comparing runs: ranking, seeds, hyperparameters, and two models on the same test rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
