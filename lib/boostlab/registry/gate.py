"""The gate: the file of rules that a version must pass before it enters a stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from boostlab.errors import LabError, locate
from boostlab.notebook.explanation import explain_errors
from boostlab.notebook.kit import KIT
from boostlab.registry.history import Stage
from boostlab.tracking.store import find_project

FILE = Path("parameters") / "registry" / "gate.yaml"
BOUND = re.compile(r"(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)")


def _check_bound(text: str) -> str:
    if not BOUND.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no bound. Write a bound such as '>= 0.8' or '< 12'.")
    return text.strip()


Bounds = dict[str, Annotated[str, AfterValidator(_check_bound)]]


class Rule(BaseModel):
    """The options of every rule: the target stages to which it applies."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    stages: tuple[Stage, ...] = Field(default=("staging", "production"), strict=False)


class Transitions(BaseModel):
    """The stages that may follow on each stage."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    none: list[Stage] = []
    test: list[Stage] = []
    staging: list[Stage] = []
    production: list[Stage] = []
    archived: list[Stage] = []


class Thresholds(Rule):
    """Bounds of the run's metrics, for all tasks and per task; regression of quantiles has metrics of its own."""

    all_tasks: Bounds = {}
    regression: Bounds = {}
    quantiles: Bounds = {}
    classification: Bounds = {}


class Champion(Rule):
    """The comparison with the version in production (the champion)."""

    metric: str = "auto"
    demand: Literal["better", "not worse"] = "better"


class CrossValidated(Rule):
    """The cross-validation of the version's run."""

    folds: int = Field(default=5, ge=2)  #: the fewest folds that count


class Gate(BaseModel):
    """The rules; a rule that is None is skipped."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    allowed_transitions: Transitions | None = None
    signature_and_example: Rule | None = None
    model_answers: Rule | None = None
    pinned_requirements: Rule | None = None
    metric_thresholds: Thresholds | None = None
    cross_validated: CrossValidated | None = None
    beats_champion: Champion | None = None


class RuleResult(BaseModel):
    """The outcome of a rule, with its evidence."""

    model_config = ConfigDict(frozen=True)
    rule: str
    outcome: Literal["pass", "fail", "not applicable"]
    evidence: str


def find_gate(given: str, *, notebook: str) -> Path:
    """Return the gate's file: the given one, else the file of the notebook's project, else the kit's.

    Raises
    ------
    LabError
        If the given path is no file, or neither the project nor the kit has a gate.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise LabError(f"There is no gate file {locate(given)}. Correct the path, or leave it empty: this means {FILE}.")
        return path.resolve()
    project = find_project(Path(notebook))
    found = [(folder / FILE).resolve() for folder in (project, KIT) if (folder / FILE).is_file()]
    if not found:
        raise LabError(f"The project {project} has no {FILE}. Write one, or choose another file: -p gate_file FILE.")
    return found[0]


def load_gate(path: Path) -> Gate:
    """Read a gate from a YAML file.

    Raises
    ------
    LabError
        If the file is no YAML mapping, or has an unknown rule, option or value.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"The gate {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise LabError(f"The gate {path} is not a mapping of rules. It takes: {', '.join(Gate.model_fields)}.")
    given = {str(name): {} if options is None else options for name, options in content.items()}
    try:
        return Gate(**given)
    except ValidationError as error:
        raise LabError(f"The gate {path}: {explain_errors(Gate, error, noun='rule')}") from None
