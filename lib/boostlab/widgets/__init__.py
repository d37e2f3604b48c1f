"""Widgets for JupyterLab. Each button calls the function that the headless path calls."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
