"""The gate's rules on what a version's run has recorded as evidence: calibration, slices, latency and the model card.

Each function is a rule, and its keyword-only parameters are its options: see :mod:`boostlab.registry.rule`.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

from pydantic import Field

from boostlab.card.model_card import make_card
from boostlab.comparison.search import HAS_VALUE, search_experiments
from boostlab.display.numbers import format_number
from boostlab.evaluation.holdout import fetch_holdout, fetch_out_of_fold
from boostlab.evaluation.losses import read_name
from boostlab.evaluation.reliability import measure_reliability
from boostlab.models.registration import CARD_PATH
from boostlab.registry.rule import Review, Verdict
from boostlab.tracking.summary import SPREADS

AGAIN = "Train again with this version of boostlab, and register the new run."
MOST_NAMED = 3


def calibrated(review: Review, *, error: Annotated[float, Field(gt=0, lt=1)] = 0.05) -> Verdict:
    """Check that probabilities come true as often as they say, or that intervals of quantiles hold as many rows as they promise.

    Of classes, the upper end of the 95 % interval of the expected calibration error must be at most `error`. Of quantiles, the
    interval of each coverage must lie within `error` of the nominal share.
    """
    tags = review.evidence.tags
    if tags.get("boostlab.task") == "classification":
        return _check_probabilities(review, error)
    metrics = review.evidence.metrics
    part = "cv" if _is_refitted(review) and any(name.startswith("cv_coverage:") for name in metrics) else "test"
    names = [name for name in metrics if name.startswith(f"{part}_coverage:") and not name.endswith(SPREADS)]
    if not names:
        return "not applicable", "The model predicts neither probabilities nor a symmetric pair of quantiles."
    found, is_close = [], True
    for name in names:
        low, high = read_name(name)[1]
        ends = [metrics.get(f"{name}_{end}") for end in ("low", "high")]
        nominal, known = high - low, [end for end in ends if end is not None]
        is_close &= len(known) == 2 and all(abs(end - nominal) <= error for end in known)
        shown = " to ".join(map(format_number, known)) or "not known"
        found.append(
            f"{name.removeprefix(f'{part}_')} = {format_number(metrics[name])}, 95 % interval {shown}, nominal {nominal:.4g}"
        )
    which = "rows of the cross-validation" if part == "cv" else "test rows"
    return ("pass" if is_close else "fail"), f"On the {which}: {'; '.join(found)}. Allowed: within {error:g} of nominal."


def _check_probabilities(review: Review, error: float) -> Verdict:
    run_id = review.run.info.run_id
    is_refitted = _is_refitted(review)
    rows = (fetch_out_of_fold(review.client, run_id) if is_refitted else None) or fetch_holdout(review.client, run_id)
    found = measure_reliability(rows.true, rows.answers, rows.weight, rows.groups)
    numbers = f"{format_number(found.value)}, 95 % interval {format_number(found.low)} to {format_number(found.high)}"
    which = "rows of the cross-validation" if rows.test_rows and is_refitted else "test rows"
    evidence = f"The expected calibration error on {len(rows):,} {which} is {numbers}, allowed at most {error:g}."
    if found.high <= error:
        return "pass", evidence
    if found.value <= error:
        return "fail", f"{evidence} More test rows make the interval narrower."
    other = "isotonic" if review.evidence.params.get("calibrate") == "sigmoid" else "sigmoid"
    return "fail", f"{evidence} Train again: papermill notebooks/train.ipynb out.ipynb -p calibrate {other}"


def _is_refitted(review: Review) -> bool:
    """Tell whether the run's model has learned from all rows, so that the cross-validation judges it."""
    return review.evidence.params.get("final_model", "best") != "best"


def no_slice_worse_than(review: Review, *, times: Annotated[float, Field(ge=1)] = 1.5) -> Verdict:
    """Check that on no slice of the test rows the error is more than `times` that of the other rows.

    A slice counts only if chance does not explain its larger error (see :mod:`boostlab.evaluation.slices`).
    """
    found = review.evidence.read_json("evaluation/slices.json")
    if found is None:
        return (
            "fail",
            "The version's run recorded no slices. Train again with this version of boostlab, and register the new run.",
        )
    slices, metric = found["slices"], found["metric"]
    if not slices:
        return "not applicable", "The test rows are too few to tell whether the error is larger on some of them."
    worse = [one for one in slices if one["is_worse"] and one["value"] > times * one["rest"]]
    if not worse:
        return "pass", f"Of {len(slices)} slices of the test rows, none has a {metric} more than {times:g} times that elsewhere."
    named = [
        f"{one['name']}: {metric} {format_number(one['value'])} on {one['rows']:,} rows, {format_number(one['rest'])} elsewhere"
        for one in worse[:MOST_NAMED]
    ]
    more = f" and {len(worse) - MOST_NAMED} more" if len(worse) > MOST_NAMED else ""
    return "fail", f"{metric} is more than {times:g} times that elsewhere where {'; '.join(named)}{more}."


def latency_budget(review: Review, *, p99_ms: Annotated[float, Field(gt=0)] = 50.0, clients: Literal[1, 8] = 1) -> Verdict:
    """Check the latency that the newest deployment of the version measured: 99 % of requests of one row within `p99_ms`."""
    metric, number = f"p99_ms_{clients}_clients", review.version.number
    search = search_experiments(review.client).where("attributes.status = 'FINISHED'").where(f"metrics.`{metric}` {HAS_VALUE}")
    search = search.equal("tags", "boostlab.model", review.model).equal("tags", "boostlab.version", str(number))
    runs, _ = search.fetch(1, order="attributes.start_time DESC")
    if not runs:
        name = shlex.quote(review.model)
        command = f"papermill notebooks/deploy.ipynb out.ipynb -p output process -p model {name} -p version {number}"
        return "fail", f"No deployment has measured the latency of version {number}. Measure it: {command}"
    value, who = runs[0].data.metrics[metric], f"{clients} client{'s' if clients > 1 else ''}"
    evidence = f"p99 for {who} is {format_number(value)} ms (run {runs[0].info.run_name}), allowed at most {p99_ms:g} ms."
    return ("pass" if value <= p99_ms else "fail"), evidence


def card_complete(review: Review) -> Verdict:
    """Check that the version's run has a model card that lacks nothing: purpose, metrics with intervals, slices and more."""
    evidence = review.evidence
    if evidence.read(CARD_PATH) is None:
        return (
            "fail",
            "The version's run recorded no model card. Train again with this version of boostlab, and register the new run.",
        )
    card = make_card(evidence)
    if card.gaps:
        return "fail", f"The model card lacks {' '.join(card.gaps)} Then register the new run."
    return "pass", f"The model card has {len(card.sections)} sections, and lacks nothing."
