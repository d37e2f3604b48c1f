"""The gate: which rules a version must pass before it moves to a stage, as a file says that people can read and change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from boostlab.errors import LabError
from boostlab.notebook.explanation import explain_errors
from boostlab.registry.stages import Stage
from boostlab.tracking.store import find_project

FILE = Path("parameters") / "registry" / "gate.yaml"
BOUND = re.compile(r"(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)")


def _check_bound(text: str) -> str:
    if not BOUND.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no bound. Write one such as '>= 0.8' or '< 12'.")
    return text.strip()


Bounds = dict[str, Annotated[str, AfterValidator(_check_bound)]]


class Rule(BaseModel):
    """What every rule of the gate says: for which stages it stands."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    stages: tuple[Stage, ...] = Field(default=("staging", "production"), strict=False)


class Transitions(BaseModel):
    """Which stage may follow on which."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    none: list[Stage] = []
    test: list[Stage] = []
    staging: list[Stage] = []
    production: list[Stage] = []
    archived: list[Stage] = []


class Thresholds(Rule):
    """Bounds of the run's metrics, for all tasks and for one."""

    all_tasks: Bounds = {}
    regression: Bounds = {}
    classification: Bounds = {}


class Champion(Rule):
    """How a challenger must do against the version that is in production."""

    metric: str = "auto"
    demand: Literal["better", "not worse"] = "better"


class Gate(BaseModel):
    """The rules; one that is absent is not asked."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    allowed_transitions: Transitions | None = None
    signature_and_example: Rule | None = None
    model_answers: Rule | None = None
    pinned_requirements: Rule | None = None
    metric_thresholds: Thresholds | None = None
    beats_champion: Champion | None = None


class Finding(BaseModel):
    """What a rule found: ``pass``, ``fail`` or ``not applicable``, and by what evidence."""

    model_config = ConfigDict(frozen=True)
    rule: str
    outcome: Literal["pass", "fail", "not applicable"]
    evidence: str


def find_gate(given: str, *, notebook: str) -> Path:
    """Return the gate's file: the one given, else that of the notebook's project, else the kit's.

    Raises
    ------
    LabError
        If there is none at the given path.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise LabError(f"There is no gate {given}. Paths count from the folder in which the command starts. Empty: {FILE}.")
        return path.resolve()
    project = find_project(Path(notebook))
    kit = Path(__file__).resolve().parents[3]
    found = [folder / FILE for folder in (project, kit) if (folder / FILE).is_file()]
    if not found:
        raise LabError(f"The project {project} has no {FILE}. Write one, or name another: -p gate FILE.")
    return found[0]


def load_gate(path: Path) -> Gate:
    """Return the gate that a YAML file describes.

    Raises
    ------
    LabError
        If the file is no YAML mapping, or names a rule, an option or a value that is not known.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"The gate {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise LabError(f"The gate {path} is no mapping of rules. It takes: {', '.join(Gate.model_fields)}.")
    given = {str(name): {} if options is None else options for name, options in content.items()}
    try:
        return Gate(**given)
    except ValidationError as error:
        raise LabError(f"The gate {path}: {explain_errors(Gate, error, noun='rule')}") from None
