"""Settings of ``registry.ipynb``, the words for stages, and the settings of notebooks that use one version of a model."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from boostlab.errors import suggest
from boostlab.notebook.settings import Count, ModelName, Tracked
from boostlab.registry.history import ARCHIVED, TARGETS, Stage

EXPECTED = "a state such as 5:staging production:3"
TransitionAction = Literal["promote", "archive", "rollback"]
Action = Literal["show", "register", TransitionAction]
OTHER_WORDS: dict[str, Stage] = {"teste": "test", "producao": "production"}
NEEDS: dict[str, tuple[str, ...]] = {
    "register": ("model", "run_id"),
    "promote": ("model", "version", "stage"),
    "archive": ("model", "version"),
    "rollback": ("model",),
}


def read_stage(text: str) -> Stage:
    """Return the stage that a text names, in any case, with or without accents; ``teste`` and ``produção`` too.

    Raises
    ------
    ValueError
        If the text names no stage that a version can enter.

    Examples
    --------
    >>> [read_stage(text) for text in ("Produção", "PRODUCAO", " teste", "Staging")]
    ['production', 'production', 'test', 'staging']
    """
    plain = unicodedata.normalize("NFKD", text.strip().casefold()).encode("ascii", "ignore").decode()
    for stage in TARGETS:
        if OTHER_WORDS.get(plain, plain) == stage:
            return stage
    raise ValueError(
        f"no stage.{suggest(plain, (*TARGETS, *OTHER_WORDS))} It takes: test (or teste), staging, production (or produção), "
        "archived."
    )


class Registry(Tracked):
    """The parameters of ``registry.ipynb``."""

    action: Literal["auto", "show", "register", "promote", "archive", "rollback"]
    model: ModelName
    version: Count
    stage: Annotated[str, AfterValidator(lambda stage: read_stage(stage) if stage.strip() else "")]
    run_id: str
    reason: Annotated[str, Field(max_length=2000, description="a text of at most 2,000 characters")]
    override: bool
    expected_state: Annotated[str, Field(pattern=r"^([a-z]+:\d+|\d+:[a-z]+)?( ([a-z]+:\d+|\d+:[a-z]+))*$", description=EXPECTED)]
    gate_file: str

    @property
    def requested(self) -> Action:
        """The requested action: `action`, or for ``auto`` the action that the other parameters imply."""
        if self.action != "auto":
            return "archive" if self.action == "promote" and self.stage == ARCHIVED else self.action
        if self.run_id:
            return "register"
        return ("archive" if self.stage == ARCHIVED else "promote") if self.version and self.stage else "show"

    @property
    def transition(self) -> TransitionAction | None:
        """The requested transition, or None; ``register`` with a stage includes one."""
        if self.requested == "register":
            return None if not self.stage else "archive" if self.stage == ARCHIVED else "promote"
        return None if self.requested == "show" else self.requested

    @model_validator(mode="after")
    def _check_request(self) -> Self:
        missing = [name for name in NEEDS.get(self.requested, ()) if not getattr(self, name)]
        if missing:
            options = " ".join(f"-p {name} …" for name in missing)
            raise ValueError(f"action {self.requested} lacks {' and '.join(missing)}. Add {options}.")
        if self.action == "auto" and (self.version or self.stage) and self.requested == "show":
            raise ValueError("version and stage go together: give both for a transition, or neither.")
        if self.override and not self.reason.strip():
            raise ValueError("override = True needs a reason. Give the reason for overriding the gate: -p reason '…'.")
        return self


class Versioned(Tracked):
    """Which version of which registered model: the version of that number, else the version in that stage."""

    model: ModelName
    stage: Annotated[str, AfterValidator(read_stage)]
    version: Count
