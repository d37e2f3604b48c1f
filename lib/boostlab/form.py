"""The old address of :func:`boostlab.widgets.show_form`: other people's notebooks import it from here."""

from boostlab.widgets.form import show_form

__all__ = ["show_form"]
