"""Errors of the user: each states in one message what is wrong, what is allowed and what to do.

Every such error derives from :class:`LabError`. Any other exception is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

StoreFault = Literal["lost", "refused", "gone", "driver", "address"]

MIN_LETTERS = 3  # of an abbreviation
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def show_controls(text: str) -> str:
    r"""Return a text for a terminal: characters that would steer it, or turn the text around, are shown by their codes.

    Examples
    --------
    >>> show_controls("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LabError(Exception):
    """An error of the user; its message says what is wrong, what is allowed and what to do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(show_controls(message))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the message without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(LabError):
    """A notebook's parameter is unknown, ill-typed or out of range."""


class DataError(LabError):
    """A table, its target or its split cannot be used as requested."""


class RowError(DataError):
    """A row has a value that the model does not take: the same rows give the same error again."""


class ColumnsError(LabError):
    """A model needs a column that the rows of another model do not have."""


class TrainingError(LabError):
    """XGBoost refuses the data or the parameters of a training."""


class StoreError(LabError):
    """The tracking store cannot be opened, refuses a record, or is lost.

    Attributes
    ----------
    kind : str
        ``lost``: there is no valid answer, so nothing is known; it may work later. ``refused``: the answer is no, such as a
        missing permission, a certificate that is not trusted, or an invalid value. ``gone``: the answer is that the store has no
        such thing. ``driver``: a package is missing on this machine. ``address``: no store can have this address.
    """

    def __init__(self, message: str, *, kind: StoreFault = "lost") -> None:
        super().__init__(message)
        self.kind = kind


class GateError(LabError):
    """A version does not pass the gate of its target stage."""


class OutdatedError(LabError):
    """A registered model has changed since its expected state was read."""


class DeploymentError(LabError):
    """An image cannot be built, run, verified or released."""


class TrialPruned(LabError):  # noqa: N818  # it is no error: the trial ends early, and its run is FINISHED
    """The sweep ends this trial early, because others were better at the same step."""


def is_lab_error(name: str, traceback: Sequence[str]) -> bool:
    """Tell whether an error in a notebook's output is a LabError: by its name, and shown without a traceback."""
    return len(traceback) == 1 and name in {cls.__name__ for cls in _family(LabError)}


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question with the first name in `known` that starts with these letters, else the nearest; empty if none is near.

    Examples
    --------
    >>> suggest("max_dept", ["eta", "max_depth"])
    " Did you mean 'max_depth'?"
    >>> suggest("prod", ["production", "producao"])
    " Did you mean 'production'?"
    """
    names = list(known)
    longer = [item for item in names if item.startswith(name)] if len(name) >= MIN_LETTERS else []
    nearest = longer or difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def locate(path: str | Path) -> str:
    """Return where a path leads, as ``at /home/ana/lab/t.csv``: what a message says of a file that is not there."""
    return f"at {Path(path).expanduser().absolute()}"


def _family(cls: type[LabError]) -> Iterator[type[LabError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)
