"""Judging a model on rows that it has not seen: metrics, figures, and the rows that a run keeps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
