"""The model card: one page on a model, made from what its run has recorded, for people who decide about it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
