"""Scoring of a file by a registered model, and the drift of its columns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
