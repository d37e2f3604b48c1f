"""The gate's rules: each looks at one thing, and says pass, fail or not applicable, with its evidence."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from packaging.requirements import InvalidRequirement, Requirement

from boostlab.comparison.paired import compare_pair, pair_runs
from boostlab.errors import LabError, suggest
from boostlab.models.loading import describe_version, fetch_version, load_version
from boostlab.registry.gate import BOUND, Champion, Finding, Gate, Rule, Thresholds, Transitions
from boostlab.registry.request import Move
from boostlab.registry.view import read_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
FIRST_METRIC = {"regression": "rmse", "classification": "log_loss"}
Outcome = Literal["pass", "fail", "not applicable"]
Verdict = tuple[Outcome, str]  # with its evidence


def judge(client: MlflowClient, move: Move, gate: Gate) -> list[Finding]:
    """Return what each rule of the gate finds on a move, in the gate's order; what a rule cannot look at fails it."""
    found = []
    for name in Gate.model_fields:
        rule = getattr(gate, name)
        if rule is None:
            continue
        try:
            outcome, evidence = _ask(client, move, name, rule)
        except LabError as error:
            outcome, evidence = "fail", str(error)
        found.append(Finding(rule=name, outcome=outcome, evidence=evidence))
    return found


def _ask(client: MlflowClient, move: Move, name: str, rule: Any) -> Verdict:
    if isinstance(rule, Transitions):
        return check_transition(move, rule)
    if move.to_stage not in rule.stages:
        return "not applicable", f"Asked of moves to {' and '.join(rule.stages)}."
    checks: dict[str, Callable[[MlflowClient, Move, Any], Verdict]] = {
        "signature_and_example": check_signature,
        "model_answers": check_answers,
        "pinned_requirements": check_requirements,
        "metric_thresholds": check_thresholds,
        "beats_champion": check_champion,
    }
    return checks[name](client, move, rule)


def check_transition(move: Move, rule: Transitions) -> Verdict:
    """Check that the gate allows the step from one stage to the other."""
    step = f"{move.from_stage} to {move.to_stage}"
    if move.action == "rollback":
        return "pass", f"{step}: a rollback to a version that was in {move.to_stage} before."
    allowed: list[str] = getattr(rule, move.from_stage)
    if move.to_stage in allowed:
        return "pass", f"{step} is allowed."
    return "fail", f"{step} is not allowed. From {move.from_stage} a version may go to: {', '.join(allowed) or 'no stage'}."


def check_signature(client: MlflowClient, move: Move, _rule: Rule) -> Verdict:
    """Check that the model says what it takes and answers, and shows a row of it."""
    model = describe_version(client, move.view.name, move.version)
    signature = model.signature
    wanting = [
        text
        for text, there in (
            ("a signature of its inputs", signature and signature.inputs),
            ("a signature of its outputs", signature and signature.outputs),
            ("an input example", model.saved_input_example_info),
        )
        if not there
    ]
    if wanting:
        return "fail", f"It lacks {' and '.join(wanting)}. Log the model with both, as train.ipynb does."
    return "pass", f"{len(signature.inputs.inputs)} inputs, signed, with an example."


def check_answers(client: MlflowClient, move: Move, _rule: Rule) -> Verdict:
    """Check that the model loads and answers its own input example, a finite answer for each row."""
    name, version = move.view.name, move.version
    example = describe_version(client, name, version).load_input_example(str(fetch_version(client, name, version)))
    if example is None:
        return "fail", "It has no input example to answer. Log the model with one."
    try:
        answers = pd.DataFrame(load_version(client, name, version).predict(example))
    except Exception as error:  # whatever the model's own code raises
        return "fail", f"It does not answer its input example: {type(error).__name__}: {_first_line(error)}"
    numbers = answers.select_dtypes("number").to_numpy(float)
    if len(answers) != len(example) or answers.isna().to_numpy().any() or not np.isfinite(numbers).all():
        return "fail", f"To {len(example)} rows it gives {len(answers)} answers, or one that is missing or infinite."
    return "pass", f"It loads, and answers the {len(example)} rows of its example."


def check_requirements(client: MlflowClient, move: Move, _rule: Rule) -> Verdict:
    """Check that every package that the model needs is pinned to one release."""
    file = fetch_version(client, move.view.name, move.version) / "requirements.txt"
    if not file.is_file():
        return "fail", "It states no requirements. Log the model with pip_requirements."
    lines = [line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    stated = [line for line in lines if line and not line.startswith(("#", "--"))]
    loose = [line for line in stated if not _is_pinned(line)]
    if loose:
        return "fail", f"Not pinned: {', '.join(loose)}. State each as name==version."
    return "pass", f"{len(stated)} requirements, each pinned."


def check_thresholds(client: MlflowClient, move: Move, rule: Thresholds) -> Verdict:
    """Check the bounds of the metrics that the version's run recorded."""
    run = read_run(client, move.view.version(move.version).run_id)
    if run is None:
        return "fail", "Its run is gone, and its metrics with it. Train again, and register that run."
    task = run.data.tags.get("boostlab.task", "")
    bounds = rule.all_tasks | {"regression": rule.regression, "classification": rule.classification}.get(task, {})
    if not bounds:
        return "not applicable", f"The gate sets no bounds for {task or 'a run without the tag boostlab.task'}."
    missed = [text for text in (_check_bound(run.data.metrics, name, bound) for name, bound in bounds.items()) if text]
    if missed:
        return "fail", " ".join(missed)
    return "pass", "; ".join(f"{name} = {run.data.metrics[name]:.4g}, demanded {bound}" for name, bound in bounds.items()) + "."


def check_champion(client: MlflowClient, move: Move, rule: Champion) -> Verdict:
    """Compare with the version in production, on the same rows, as :mod:`boostlab.comparison.paired` finds them."""
    champion = move.view.holders.get("production")
    if champion is None or champion == move.version:
        return "not applicable", "No other version is in production: there is no champion."
    if move.action == "rollback":
        return "not applicable", "A rollback is not compared: what it puts back was in production before."
    ids = {}
    for number in (champion, move.version):
        run = read_run(client, move.view.version(number).run_id)
        if run is None:
            raise LabError(f"The run of version {number} is gone, and its test rows with it. Train again, or override.")
        ids[number] = run.info.run_id
    pair = pair_runs(client, champion=ids[champion], challenger=ids[move.version])
    metric = FIRST_METRIC[pair.task] if rule.metric == "auto" else rule.metric
    difference = compare_pair(pair, metric=metric)
    accepted = {"better": ("better",), "not worse": ("better", "not to be told apart")}[rule.demand]
    evidence = difference.describe(f"version {champion}, which is in production", f"Version {move.version}")
    return ("pass" if difference.verdict in accepted else "fail"), f"{evidence} The gate demands: {rule.demand}."


def _check_bound(metrics: Any, name: str, bound: str) -> str:
    """Return what is wrong with a metric, or an empty text."""
    if name not in metrics:
        return f"Its run has no metric {name!r}.{suggest(name, metrics)} It has: {', '.join(sorted(metrics)) or 'none'}."
    sign, limit = BOUND.fullmatch(bound).groups()  # type: ignore[union-attr]  # checked when the gate was loaded
    return "" if COMPARE[sign](metrics[name], float(limit)) else f"{name} = {metrics[name]:.4g}, demanded {bound}."


def _is_pinned(line: str) -> bool:
    try:
        stated = Requirement(line)
    except InvalidRequirement:
        return False
    return bool(stated.url) or any(item.operator in ("==", "===") and "*" not in item.version for item in stated.specifier)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]
