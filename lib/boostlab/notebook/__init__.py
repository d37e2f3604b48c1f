"""What a lab notebook is: its parameters, its settings, its document and the front end around it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
