"""Settings of ``registry.ipynb``, and those of every notebook that takes one version of a registered model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from boostlab.notebook.settings import Count, ModelName, Tracked
from boostlab.registry.stages import ARCHIVED, read_stage

SEEN = "what was seen, such as 5:staging production:3"


class Registry(Tracked):
    """The parameters of ``registry.ipynb``."""

    action: Literal["auto", "show", "register", "promote", "archive", "rollback"]
    model: ModelName
    version: Count
    stage: Annotated[str, AfterValidator(lambda stage: read_stage(stage) if stage.strip() else "")]
    run_id: str
    reason: Annotated[str, Field(max_length=2000, description="a text of at most 2,000 characters")]
    override: bool
    seen: Annotated[str, Field(pattern=r"^([a-z]+:\d+|\d+:[a-z]+)?( ([a-z]+:\d+|\d+:[a-z]+))*$", description=SEEN)]
    gate_file: str

    @property
    def asked(self) -> str:
        """What is to be done: `action`, or what the other parameters ask for."""
        if self.action != "auto":
            return "archive" if self.action == "promote" and self.stage == ARCHIVED else self.action
        if self.run_id:
            return "register"
        return ("archive" if self.stage == ARCHIVED else "promote") if self.version and self.stage else "show"

    @property
    def move(self) -> Literal["promote", "archive", "rollback"]:
        """How a version is to be moved, if it is."""
        if self.asked == "rollback":
            return "rollback"
        return "archive" if self.asked == "archive" or self.stage == ARCHIVED else "promote"

    @property
    def moves(self) -> bool:
        """Whether a version is to be moved: a model that is registered can be moved at once."""
        return self.asked in ("promote", "archive", "rollback") or (self.asked == "register" and self.stage != "")

    @model_validator(mode="after")
    def _request_is_whole(self) -> Self:
        needs = {"register": ("model", "run_id"), "promote": ("model", "version", "stage"), "archive": ("model", "version")}
        needs |= {"rollback": ("model",)}
        missing = [name for name in needs.get(self.asked, ()) if not getattr(self, name)]
        if missing:
            options = " ".join(f"-p {name} …" for name in missing)
            raise ValueError(f"action {self.asked} lacks {' and '.join(missing)}. Add {options}.")
        if self.action == "auto" and (self.version or self.stage) and self.asked == "show":
            raise ValueError("version and stage go together: give both to move a version, or neither.")
        if self.override and not self.reason.strip():
            raise ValueError("override = True needs a reason. Say why the gate is to be overridden: -p reason '…'.")
        return self


class Versioned(Tracked):
    """Which version of which registered model: the one of that number, else the one in that stage."""

    model: ModelName
    stage: Annotated[str, AfterValidator(read_stage)]
    version: Count
