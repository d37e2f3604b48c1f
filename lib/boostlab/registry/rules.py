"""The gate's rules on a version itself: its transition, its model, its metrics, and the version that it replaces.

Each function is a rule, and its keyword-only parameters are its options: see :mod:`boostlab.registry.rule`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, Field

from boostlab.comparison.candidates import compare_runs
from boostlab.comparison.paired import ALPHA
from boostlab.errors import LabError, suggest
from boostlab.evaluation.holdout import count_wrong_answers, fetch_holdout, fetch_out_of_fold
from boostlab.models.loading import describe_failure, describe_version, fetch_version, load_version, open_predictor
from boostlab.registry.history import TARGETS, Stage
from boostlab.registry.rule import Review, Verdict
from boostlab.registry.view import read_run

BOUND = re.compile(r"(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)")
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def _check_bound(text: str) -> str:
    if not BOUND.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no bound. Write a bound such as '>= 0.8' or '< 12'.")
    return text.strip()


Bounds = dict[str, Annotated[str, AfterValidator(_check_bound)]]
Stages = tuple[Stage, ...]


def allowed_transitions(
    review: Review,
    *,
    stages: Stages = TARGETS,  # noqa: ARG001  # in the place of the usual ones
    none: Stages = (),
    test: Stages = (),
    staging: Stages = (),
    production: Stages = (),
    archived: Stages = (),
) -> Verdict:
    """Check that a version may go from its stage to the target stage: the options name the stages that may follow on each."""
    request = review.request
    following = {"none": none, "test": test, "staging": staging, "production": production, "archived": archived}
    step = f"{request.from_stage} to {request.to_stage}"
    if request.action == "rollback":
        return "pass", f"{step}: a rollback to a version that was in {request.to_stage} before."
    allowed = following[request.from_stage]
    if request.to_stage in allowed:
        return "pass", f"{step} is allowed."
    return "fail", f"{step} is not allowed. From {request.from_stage} a version may go to: {', '.join(allowed) or 'no stage'}."


def signature_and_example(review: Review) -> Verdict:
    """Check that the model has a signature and an input example."""
    model = describe_version(review.client, review.model, review.version.number)
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


def model_answers(review: Review) -> Verdict:
    """Check that the model loads, predicts its input example with finite values, and gives the answers that its run recorded."""
    client, name, version = review.client, review.model, review.version.number
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
    outcome, evidence = _check_recorded(review)
    return outcome, f"The model loads and predicts the {len(example)} rows of its input example. {evidence}"


def _check_recorded(review: Review) -> Verdict:
    """Check the answers that the run recorded, on which metrics and comparisons rest, against the model's."""
    try:
        holdout = fetch_holdout(review.client, review.run.info.run_id)
    except LabError as error:
        return "pass", f"The answers that its run recorded cannot be checked: {error}"
    if not holdout.is_of_model:
        return (
            "pass",
            "The model has learned from all rows, so its run recorded the answers of models that had learned from fewer.",
        )
    wrong = count_wrong_answers(holdout, open_predictor(fetch_version(review.client, review.model, review.version.number)))
    if wrong:
        what = f"In {wrong} of {len(holdout)} test rows its answer is not the one that its run recorded"
        return "fail", f"{what}, so the run's metrics are not those of this model. Train and register again."
    return "pass", f"It repeats the answers that its run recorded for {len(holdout)} test rows."


def pinned_requirements(review: Review) -> Verdict:
    """Check that each required package is pinned to one release."""
    file = fetch_version(review.client, review.model, review.version.number) / "requirements.txt"
    if not file.is_file():
        return "fail", "The model has no requirements.txt. Log it with pip_requirements."
    lines = [line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    required = [line for line in lines if line and not line.startswith(("#", "--"))]
    loose = [line for line in required if not _is_pinned(line)]
    if loose:
        return "fail", f"Not pinned: {', '.join(loose)}. Write each as name==version."
    return "pass", f"{len(required)} requirements, each pinned."


def metric_thresholds(
    review: Review,
    *,
    all_tasks: Bounds = {},  # noqa: B006  # it is copied
    regression: Bounds = {},  # noqa: B006
    quantiles: Bounds = {},  # noqa: B006
    classification: Bounds = {},  # noqa: B006
) -> Verdict:
    """Check bounds of the run's metrics, for all tasks and per task; regression of quantiles has metrics of its own."""
    run = review.run
    has_quantiles = run.data.tags.get("boostlab.objective") == "reg:quantileerror"
    task = "quantiles" if has_quantiles else run.data.tags.get("boostlab.task", "")
    of_task = {"regression": regression, "quantiles": quantiles, "classification": classification}
    bounds = all_tasks | of_task.get(task, {})
    if not bounds:
        return "not applicable", f"The gate sets no bounds for {task or 'a run without the tag boostlab.task'}."
    missed = [text for text in (_find_fault(run.data.metrics, name, bound) for name, bound in bounds.items()) if text]
    if missed:
        return "fail", " ".join(missed)
    return "pass", "; ".join(f"{name} = {run.data.metrics[name]:.4g}, required {bound}" for name, bound in bounds.items()) + "."


def cross_validated(review: Review, *, folds: Annotated[int, Field(ge=2)] = 5) -> Verdict:
    """Check that the version's run made a cross-validation, so that a comparison rests on the rows of all folds."""
    run = review.run
    stated = run.data.params.get("folds", "")
    made, rows = int(stated) if stated.isdigit() else 0, fetch_out_of_fold(review.client, run.info.run_id)
    if made < folds or rows is None:
        found = f"{made} folds" if made and rows else "no cross-validation"
        again = f"papermill notebooks/train.ipynb out.ipynb -p folds {folds}"
        return "fail", f"The version's run made {found}, required are {folds} folds. Train again: {again}"
    name = f"cv_{rows.metric}"
    figures = [run.data.metrics.get(f"{name}{end}") for end in ("", "_low", "_high")]
    if None in figures:
        return (
            "fail",
            f"The run has {made} folds, and no {name} with its interval: not each fold defines this metric.",
        )
    shown = [f"{value:.4g}" for value in figures]
    return "pass", f"{made} folds of {rows.test_rows} rows: {name} = {shown[0]}, 95 % interval {shown[1]} to {shown[2]}."


def beats_champion(review: Review, *, metric: str = "auto", demand: Literal["better", "not worse"] = "better") -> Verdict:
    """Compare with the version in production (the champion) on the same rows: see :mod:`boostlab.comparison.candidates`."""
    request = review.request
    champion = request.view.version_by_stage.get("production")
    if champion is None or champion == request.version:
        return "not applicable", "No other version is in production."
    if request.action == "rollback":
        return "not applicable", "A rollback is not compared: its version was in production before."
    runs = {}
    for number in (champion, request.version):
        run = read_run(review.client, request.view.version(number).run_id)
        if run is None:
            raise LabError(f"The run of version {number} was deleted, with its test rows. Train again, or override the gate.")
        runs[number] = run
    difference = compare_runs(
        review.client,
        champion=runs[champion],
        challenger=runs[request.version],
        metric="" if metric == "auto" else metric,
        alpha=None if demand == "better" else ALPHA,
    )
    is_accepted = difference.verdict == "better" if demand == "better" else difference.verdict != "worse"
    evidence = difference.describe(f"version {champion} (in production)", f"version {request.version}")
    return ("pass" if is_accepted else "fail"), f"{evidence} The gate requires: {demand}."


def _find_fault(metrics: Mapping[str, float], name: str, bound: str) -> str:
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
