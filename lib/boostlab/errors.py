"""What a person got wrong, said once and clearly.

Every error of ours derives from :class:`LabError`; anything else that surfaces is a defect and keeps its traceback.
How an error reaches a terminal is the concern of who runs the command, not of this module.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence


class LabError(Exception):
    """State what was wrong, what is allowed and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the message alone: a mistake in the input needs no traceback."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(LabError):
    """A notebook's parameter is unknown, ill-typed or out of range."""


class DataError(LabError):
    """A table, its target or its split cannot be used as asked."""


class TrainingError(LabError):
    """XGBoost refuses what it was asked to train."""


class StoreError(LabError):
    """The tracking store cannot be opened, or was lost on the way."""


class GateError(LabError):
    """A version does not pass the gate of the stage that it was meant for."""


class OutdatedError(LabError):
    """A registered model changed since the person, or the gate, looked at it."""


def is_lab_error(name: str, traceback: Sequence[str]) -> bool:
    """Tell whether an error in a notebook's output is a user's mistake: ours by name, and shown without a traceback."""
    return len(traceback) == 1 and name in {cls.__name__ for cls in _family(LabError)}


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest of `known`, or an empty string if none is near.

    Examples
    --------
    >>> suggest("max_dept", ["eta", "max_depth"])
    " Did you mean 'max_depth'?"
    """
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _family(cls: type[LabError]) -> Iterator[type[LabError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)
