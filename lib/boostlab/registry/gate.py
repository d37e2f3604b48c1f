"""The gate: the file of rules that a version must pass before it enters a stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ValidationError, create_model

from boostlab.errors import LabError, locate
from boostlab.notebook.explanation import explain_errors
from boostlab.notebook.kit import KIT
from boostlab.registry import evidence_rules, rules
from boostlab.registry.rule import STRICT, Check, Review, apply_rule, find_rules, load_rules, read_options
from boostlab.registry.transition import TransitionRequest
from boostlab.tracking.store import find_project

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = Path("parameters") / "registry" / "gate.yaml"
OWN_RULES = "rules.py"  # next to the gate's file
RULES: dict[str, Check] = find_rules(rules) | find_rules(evidence_rules)


@dataclass(frozen=True)
class Gate:
    """The rules of a gate, each with its options, in the order in which they are checked."""

    checks: Mapping[str, Check]
    options: Mapping[str, BaseModel]

    def judge(self, client: MlflowClient, request: TransitionRequest) -> TransitionRequest:
        """Return the request with the results of the rules; a rule that cannot be checked fails."""
        review = Review(client, request)
        results = [apply_rule(name, self.checks[name], options, review) for name, options in self.options.items()]
        return replace(request, results=tuple(results))


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
    """Read a gate from a YAML file, with the lab's own rules from ``rules.py`` next to it.

    Raises
    ------
    LabError
        If the file is no YAML mapping, has an unknown rule, option or value, or the lab's own rules cannot be loaded.
    """
    checks = RULES | load_rules(path.with_name(OWN_RULES), known=RULES)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"The gate {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise LabError(f"The gate {path} is not a mapping of rules. It takes: {', '.join(checks)}.")
    given = {str(name): {} if options is None else options for name, options in content.items()}
    models = {name: (read_options(name, check) | None, None) for name, check in checks.items()}
    model = create_model("Gate", __config__=STRICT, **models)  # type: ignore[call-overload]  # the fields are known here alone
    try:
        read = model.model_validate_json(json.dumps(given, default=str))  # JSON has no tuples, sets or dates: pydantic makes them
    except ValidationError as error:
        raise LabError(f"The gate {path}: {explain_errors(model, error, noun='rule')}") from None
    except (TypeError, ValueError) as error:  # such as a mapping with dates as keys
        raise LabError(f"The gate {path} cannot be read: {error}.") from None
    return Gate(checks, {name: options for name in checks if (options := getattr(read, name)) is not None})
