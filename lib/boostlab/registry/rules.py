"""The gate's rules. Each rule checks one thing and returns an outcome with its evidence."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from packaging.requirements import InvalidRequirement, Requirement

from boostlab.comparison.candidates import compare_runs
from boostlab.comparison.paired import ALPHA
from boostlab.errors import LabError, suggest
from boostlab.evaluation.holdout import count_wrong_answers, fetch_holdout, fetch_out_of_fold
from boostlab.models.loading import describe_failure, describe_version, fetch_version, load_version, open_predictor
from boostlab.registry.gate import BOUND, Champion, CrossValidated, Gate, Rule, RuleResult, Thresholds, Transitions
from boostlab.registry.transition import TransitionRequest
from boostlab.registry.view import read_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
Outcome = Literal["pass", "fail", "not applicable"]
Verdict = tuple[Outcome, str]  # with its evidence


def judge(client: MlflowClient, request: TransitionRequest, gate: Gate) -> TransitionRequest:
    """Return the request with the results of the gate's rules, in the gate's order; a rule that cannot be checked fails."""
    results = []
    for name in Gate.model_fields:
        rule = getattr(gate, name)
        if rule is None:
            continue
        verdict: Verdict
        if isinstance(rule, Rule) and request.to_stage not in rule.stages:
            verdict = "not applicable", f"Applies to transitions to {' and '.join(rule.stages)}."
        else:
            try:
                verdict = CHECKS[name](client, request, rule)
            except LabError as error:
                verdict = "fail", str(error)
        results.append(RuleResult(rule=name, outcome=verdict[0], evidence=verdict[1]))
    return replace(request, results=tuple(results))


def check_transition(_client: MlflowClient, request: TransitionRequest, rule: Transitions) -> Verdict:
    """Check that the gate allows a transition from one stage to the other."""
    step = f"{request.from_stage} to {request.to_stage}"
    if request.action == "rollback":
        return "pass", f"{step}: a rollback to a version that was in {request.to_stage} before."
    allowed: list[str] = getattr(rule, request.from_stage)
    if request.to_stage in allowed:
        return "pass", f"{step} is allowed."
    return "fail", f"{step} is not allowed. From {request.from_stage} a version may go to: {', '.join(allowed) or 'no stage'}."


def check_signature(client: MlflowClient, request: TransitionRequest, _rule: Rule) -> Verdict:
    """Check that the model has a signature and an input example."""
    model = describe_version(client, request.view.name, request.version)
    signature = model.signature
    parts = {
        "a signature of its inputs": signature and signature.inputs,
        "a signature of its outputs": signature and signature.outputs,
        "an input example": model.saved_input_example_info,
    }
    missing = [name for name, part in parts.items() if not part]
    if missing:
        return "fail", f"The model lacks {' and '.join(missing)}. Log it with both, as train.ipynb does."
    return "pass", f"The signature has {len(signature.inputs.inputs)} inputs; there is an input example."


def check_answers(client: MlflowClient, request: TransitionRequest, _rule: Rule) -> Verdict:
    """Check that the model loads, predicts its input example with finite values, and gives the answers that its run recorded."""
    name, version = request.view.name, request.version
    example = describe_version(client, name, version).load_input_example(str(fetch_version(client, name, version)))
    if example is None:
        return "fail", "The model has no input example. Log it with one."
    model = load_version(client, name, version)
    try:
        answers = pd.DataFrame(model.predict(example))
    except Exception as error:  # MLflow's enforcement and a damaged model may raise anything
        return "fail", f"The model fails on its input example: {describe_failure(error)}"
    numbers = answers.select_dtypes("number").to_numpy(float)
    if len(answers) != len(example) or answers.isna().to_numpy().any() or not np.isfinite(numbers).all():
        return "fail", f"For {len(example)} rows the model gives {len(answers)} predictions, or one is missing or infinite."
    outcome, evidence = _check_recorded(client, request)
    return outcome, f"The model loads and predicts the {len(example)} rows of its input example. {evidence}"


def _check_recorded(client: MlflowClient, request: TransitionRequest) -> Verdict:
    """Check the answers that the run recorded, on which metrics and comparisons rest, against the model's."""
    name, version = request.view.name, request.view.version(request.version)
    try:
        if read_run(client, version.run_id) is None:
            raise LabError("The version's run was deleted.")
        holdout = fetch_holdout(client, version.run_id)
    except LabError as error:
        return "pass", f"The answers that its run recorded cannot be checked: {error}"
    if not holdout.is_of_model:
        return (
            "pass",
            "The model has learned from all rows, so its run recorded the answers of models that had learned from fewer.",
        )
    wrong = count_wrong_answers(holdout, open_predictor(fetch_version(client, name, version.number)))
    if wrong:
        what = f"In {wrong} of {len(holdout)} test rows its answer is not the one that its run recorded"
        return "fail", f"{what}, so the run's metrics are not those of this model. Train and register again."
    return "pass", f"It repeats the answers that its run recorded for {len(holdout)} test rows."


def check_requirements(client: MlflowClient, request: TransitionRequest, _rule: Rule) -> Verdict:
    """Check that each required package is pinned to one release."""
    file = fetch_version(client, request.view.name, request.version) / "requirements.txt"
    if not file.is_file():
        return "fail", "The model has no requirements.txt. Log it with pip_requirements."
    lines = [line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    required = [line for line in lines if line and not line.startswith(("#", "--"))]
    loose = [line for line in required if not _is_pinned(line)]
    if loose:
        return "fail", f"Not pinned: {', '.join(loose)}. Write each as name==version."
    return "pass", f"{len(required)} requirements, each pinned."


def check_thresholds(client: MlflowClient, request: TransitionRequest, rule: Thresholds) -> Verdict:
    """Check the bounds of the metrics of the version's run."""
    run = read_run(client, request.view.version(request.version).run_id)
    if run is None:
        return "fail", "The version's run was deleted, and its metrics with it. Train again, and register the new run."
    has_quantiles = run.data.tags.get("boostlab.objective") == "reg:quantileerror"
    task = "quantiles" if has_quantiles else run.data.tags.get("boostlab.task", "")
    of_task = {"regression": rule.regression, "quantiles": rule.quantiles, "classification": rule.classification}
    bounds = rule.all_tasks | of_task.get(task, {})
    if not bounds:
        return "not applicable", f"The gate sets no bounds for {task or 'a run without the tag boostlab.task'}."
    missed = [text for text in (_check_bound(run.data.metrics, name, bound) for name, bound in bounds.items()) if text]
    if missed:
        return "fail", " ".join(missed)
    return "pass", "; ".join(f"{name} = {run.data.metrics[name]:.4g}, required {bound}" for name, bound in bounds.items()) + "."


def check_folds(client: MlflowClient, request: TransitionRequest, rule: CrossValidated) -> Verdict:
    """Check that the version's run made a cross-validation, so that a comparison rests on the rows of all folds."""
    run = read_run(client, request.view.version(request.version).run_id)
    if run is None:
        return "fail", "The version's run was deleted, and its folds with it. Train again, and register the new run."
    stated = run.data.params.get("folds", "")
    folds, rows = int(stated) if stated.isdigit() else 0, fetch_out_of_fold(client, run.info.run_id)
    if folds < rule.folds or rows is None:
        found = f"{folds} folds" if folds and rows else "no cross-validation"
        again = f"papermill notebooks/train.ipynb out.ipynb -p folds {rule.folds}"
        return "fail", f"The version's run made {found}, required are {rule.folds} folds. Train again: {again}"
    name = f"cv_{rows.metric}"
    figures = [run.data.metrics.get(f"{name}{end}") for end in ("", "_low", "_high")]
    if None in figures:
        return (
            "fail",
            f"The run has {folds} folds, and no {name} with its interval: not each fold defines this metric.",
        )
    shown = [f"{value:.4g}" for value in figures]
    return "pass", f"{folds} folds of {rows.test_rows} rows: {name} = {shown[0]}, 95 % interval {shown[1]} to {shown[2]}."


def check_champion(client: MlflowClient, request: TransitionRequest, rule: Champion) -> Verdict:
    """Compare with the version in production on the same rows (see :mod:`boostlab.comparison.candidates`)."""
    champion = request.view.version_by_stage.get("production")
    if champion is None or champion == request.version:
        return "not applicable", "No other version is in production."
    if request.action == "rollback":
        return "not applicable", "A rollback is not compared: its version was in production before."
    runs = {}
    for number in (champion, request.version):
        run = read_run(client, request.view.version(number).run_id)
        if run is None:
            raise LabError(f"The run of version {number} was deleted, with its test rows. Train again, or override the gate.")
        runs[number] = run
    difference = compare_runs(
        client,
        champion=runs[champion],
        challenger=runs[request.version],
        metric="" if rule.metric == "auto" else rule.metric,
        alpha=None if rule.demand == "better" else ALPHA,
    )
    is_accepted = difference.verdict == "better" if rule.demand == "better" else difference.verdict != "worse"
    evidence = difference.describe(f"version {champion} (in production)", f"version {request.version}")
    return ("pass" if is_accepted else "fail"), f"{evidence} The gate requires: {rule.demand}."


def _check_bound(metrics: Any, name: str, bound: str) -> str:
    """Return the fault of a metric, or an empty text."""
    if name not in metrics:
        return f"The run has no metric {name!r}.{suggest(name, metrics)} It has: {', '.join(sorted(metrics)) or 'none'}."
    sign, limit = BOUND.fullmatch(bound).groups()  # type: ignore[union-attr]  # checked when the gate was loaded
    return "" if COMPARE[sign](metrics[name], float(limit)) else f"{name} = {metrics[name]:.4g}, required {bound}."


def _is_pinned(line: str) -> bool:
    try:
        required = Requirement(line)
    except InvalidRequirement:
        return False
    return bool(required.url) or any(item.operator in ("==", "===") and "*" not in item.version for item in required.specifier)


CHECKS: dict[str, Callable[[MlflowClient, TransitionRequest, Any], Verdict]] = {
    "allowed_transitions": check_transition,
    "signature_and_example": check_signature,
    "model_answers": check_answers,
    "pinned_requirements": check_requirements,
    "metric_thresholds": check_thresholds,
    "cross_validated": check_folds,
    "beats_champion": check_champion,
}
