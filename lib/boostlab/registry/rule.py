"""A rule of the gate: one function that looks at a requested transition, and says whether it may be applied, with its evidence.

The first parameter of a rule is the :class:`Review`. Its keyword-only parameters are its options, which the gate's file sets:
their type hints say what is allowed, in pydantic's terms, and their defaults apply where the file is silent. Each rule also has
the option ``stages``, the target stages to which it applies. Rules of the library are in :mod:`boostlab.registry.rules` and
:mod:`boostlab.registry.evidence_rules`; a lab's own are in ``rules.py`` next to its gate's file.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from boostlab.errors import LabError
from boostlab.registry.history import Stage
from boostlab.registry.view import Version, read_run
from boostlab.tracking.evidence import Evidence, fetch_evidence

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from boostlab.registry.transition import TransitionRequest

Outcome = Literal["pass", "fail", "not applicable"]
Verdict = tuple[Outcome, str]  # with its evidence, in a sentence
Check = Callable[..., Verdict]
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
USUAL_STAGES: tuple[Stage, ...] = ("staging", "production")


@dataclass(frozen=True)
class Review:
    """What a rule looks at: a requested transition of one version, and what the run recorded that trained it."""

    client: MlflowClient
    request: TransitionRequest

    @property
    def version(self) -> Version:
        """The version: its number, its present stage, its run."""
        return self.request.view.version(self.request.version)

    @property
    def model(self) -> str:
        """The name of the registered model."""
        return self.request.view.name

    @property
    def to_stage(self) -> Stage:
        """The target stage."""
        return self.request.to_stage

    @cached_property
    def run(self) -> Run:
        """The run that trained the version; a LabError if it was deleted."""
        run = read_run(self.client, self.version.run_id)
        if run is None:
            raise LabError("The version's run was deleted, and its evidence with it. Train again, and register the new run.")
        return run

    @cached_property
    def evidence(self) -> Evidence:
        """What this run has recorded: parameters, metrics, tags, and artifacts when they are asked for."""
        return fetch_evidence(self.client, self.run.info.run_id)


class RuleResult(BaseModel):
    """The outcome of a rule, with its evidence."""

    model_config = ConfigDict(frozen=True)
    rule: str
    outcome: Outcome
    evidence: str


def read_options(name: str, check: Check) -> type[BaseModel]:
    """Return the options of a rule as a model: its keyword-only parameters, and ``stages``.

    Raises
    ------
    LabError
        If the function is no rule: its parameters are not one for the review and keyword-only ones with a default. If an option
        has a name or a type that cannot be used.
    """
    parameters = list(inspect.signature(check).parameters.values())
    options = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    if len(options) != len(parameters) - 1 or parameters[0].kind not in POSITIONAL:
        raise LabError(
            f"{name} is no rule. It takes the review, and its options after a star: def {name}(review, *, least: int = 1). "
            "If it only helps rules, begin its name with an underscore."
        )
    for one in options:
        if one.default is one.empty:
            raise LabError(f"The option {one.name!r} of the rule {name} needs a default, such as {one.name}=1.")
        _check_name(one.name, f"The option {one.name!r} of the rule {name}")
    try:
        hints = get_type_hints(check, localns={"Review": Review, "Verdict": Verdict}, include_extras=True)
        fields = {one.name: (hints.get(one.name, Any), one.default) for one in options}
        return create_model(name, __config__=STRICT, **{"stages": (tuple[Stage, ...], USUAL_STAGES)} | fields)
    except Exception as error:  # a hint that names nothing, or a type that pydantic does not know
        reason = str(error).partition("\n")[0]
        raise LabError(f"The type hints of the rule {name} cannot be used: {type(error).__name__}: {reason}") from None


def find_rules(module: ModuleType) -> dict[str, Check]:
    """Return the rules of a module by name: its functions without a leading underscore, in the order of the module."""
    functions = {name: each for name, each in vars(module).items() if inspect.isroutine(each) and not name.startswith("_")}
    return {name: each for name, each in functions.items() if each.__module__ == module.__name__}


def load_rules(file: Path, *, known: Mapping[str, Check]) -> dict[str, Check]:
    """Return the rules of a lab's own file; none if the file does not exist.

    Raises
    ------
    LabError
        If the file cannot be loaded, or a function is no rule, or has the name of a rule in `known`.
    """
    if not file.is_file():
        return {}
    module = ModuleType(f"boostlab_rules_{abs(hash(file))}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look for their module there
    try:
        # the lab's own code; an import could take an older file from its cache
        exec(compile(file.read_bytes(), file, "exec"), vars(module))  # noqa: S102
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise LabError(f"The rules {file} cannot be loaded: {type(error).__name__}: {error}") from None
    rules = find_rules(module)
    for name in rules:
        if name in known:
            raise LabError(f"The rules {file}: {name!r} is a rule of boostlab. Give your own another name.")
        _check_name(name, f"The rules {file}: {name!r}")
    return rules


def _check_name(name: str, what: str) -> None:
    """Refuse a name that the model of a gate or of a rule's options cannot have."""
    if name.startswith("_") or hasattr(BaseModel, name):
        raise LabError(f"{what} begins with an underscore, or pydantic uses this name itself. Choose another name.")


def apply_rule(name: str, check: Check, options: BaseModel, review: Review) -> RuleResult:
    """Return what a rule says of a transition. A rule that cannot be checked fails."""
    stages: tuple[Stage, ...] = options.stages  # type: ignore[attr-defined]  # each rule has it
    given = {key: getattr(options, key) for key in type(options).model_fields}
    if review.to_stage not in stages:
        return RuleResult(rule=name, outcome="not applicable", evidence=f"Applies to transitions to {' and '.join(stages)}.")
    if "stages" not in inspect.signature(check).parameters:
        given.pop("stages")
    try:
        outcome, evidence = _check_verdict(check(review, **given))
    except LabError as error:
        outcome, evidence = "fail", str(error)
    except (Exception, SystemExit) as error:  # a fault of a lab's own rule
        outcome, evidence = "fail", f"The rule cannot be checked: {type(error).__name__}: {error}"
    return RuleResult(rule=name, outcome=outcome, evidence=evidence)


def _check_verdict(verdict: Any) -> Verdict:
    if isinstance(verdict, tuple) and len(verdict) == 2 and verdict[0] in get_args(Outcome) and isinstance(verdict[1], str):
        return verdict
    outcomes = ", ".join(map(repr, get_args(Outcome)))
    raise LabError(f"The rule returns {verdict!r}. It returns an outcome ({outcomes}) and a sentence: ('pass', '1,200 rows').")
