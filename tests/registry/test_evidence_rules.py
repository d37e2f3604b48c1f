"""The gate's rules on a run's evidence, on real versions, and a lab's own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.comparison import record_run
from tests.support.paths import PROJECT
from tests.support.registry import STRONG, add_version

from boostlab.evaluation.holdout import fetch_holdout
from boostlab.evaluation.reliability import measure_reliability
from boostlab.registry.gate import load_gate
from boostlab.registry.transition import request_transition
from boostlab.registry.view import view_model

SLICE = {"rows": 30, "value": 3.0, "low": 2.0, "high": 4.0, "rest": 1.0, "p": 0.001, "is_worse": True}


def check(client: Any, name: str, folder: Path, text: str, *, version: int = 1, rules: str = "") -> tuple[str, str]:
    """Return what the only rule of a gate says of the transition of a version to production."""
    (folder / "gate.yaml").write_text(text)
    (folder / "rules.py").write_text(rules)
    request = request_transition(view_model(client, name), "promote", version=version, stage="production")
    (result,) = load_gate(folder / "gate.yaml").judge(client, request).results
    return result.outcome, result.evidence


def add_file(client: Any, name: str, folder: Path, path: str, content: str) -> None:
    """Add an artifact to the run of version 1."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    parent = str(Path(path).parent)
    client.log_artifact(client.get_model_version(name, "1").run_id, str(file), None if parent == "." else parent)


@pytest.mark.parametrize(("error", "expected"), [(0.9, "pass"), (0.001, "fail")])
def test_calibration_is_judged_by_the_upper_end_of_its_interval(
    local_client: Any, name: str, tmp_path: Path, error: float, expected: str
) -> None:
    add_version(local_client, name, dataset="breast_cancer", rounds=STRONG)
    outcome, evidence = check(local_client, name, tmp_path, f"calibrated: {{error: {error}}}")
    rows = fetch_holdout(local_client, local_client.get_model_version(name, "1").run_id)
    found = measure_reliability(rows.true, rows.answers)

    assert outcome == expected and f"on {len(rows)} test rows is {found.value:.4g}" in evidence
    assert f"95 % interval {found.low:.4g} to {found.high:.4g}, allowed at most {error:g}" in evidence


@pytest.mark.parametrize(("used", "other"), [("none", "sigmoid"), ("sigmoid", "isotonic"), ("isotonic", "sigmoid")])
def test_a_failed_calibration_names_a_method_that_was_not_tried(
    local_client: Any, name: str, tmp_path: Path, used: str, other: str
) -> None:
    add_version(local_client, name, dataset="breast_cancer", rounds=STRONG)
    local_client.log_param(local_client.get_model_version(name, "1").run_id, "calibrate", used)
    evidence = check(local_client, name, tmp_path, "calibrated: {error: 0.001}")[1]
    assert evidence.endswith(f"Train again: papermill notebooks/train.ipynb out.ipynb -p calibrate {other}")


def test_the_command_that_measures_a_latency_quotes_the_name(local_client: Any, tmp_path: Path) -> None:
    name = "two words $(id)"
    add_version(local_client, name)
    assert "-p model 'two words $(id)' -p version 1" in check(local_client, name, tmp_path, "latency_budget: {}")[1]


def test_calibration_does_not_apply_to_a_mean(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    assert check(local_client, name, tmp_path, "calibrated: {}")[0] == "not applicable"


@pytest.mark.parametrize(
    ("ends", "expected"), [((0.77, 0.83), "pass"), ((0.77, 0.9), "fail"), ((0.7, 0.83), "fail"), (None, "fail")]
)
def test_of_quantiles_the_coverage_is_judged(
    local_client: Any, name: str, tmp_path: Path, ends: tuple[float, float] | None, expected: str
) -> None:
    add_version(local_client, name)
    run_id = local_client.get_model_version(name, "1").run_id
    local_client.log_metric(run_id, "test_coverage:0.1-0.9", 0.8)
    for end, value in zip(("low", "high"), ends or (), strict=False):
        local_client.log_metric(run_id, f"test_coverage:0.1-0.9_{end}", value)
    outcome, evidence = check(local_client, name, tmp_path, "calibrated: {}")

    assert outcome == expected and "coverage:0.1-0.9 = 0.8, 95 % interval" in evidence and "nominal 0.8" in evidence


def test_of_quantiles_the_folds_judge_a_model_of_all_rows(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    run_id = local_client.get_model_version(name, "1").run_id
    local_client.log_param(run_id, "final_model", "all_rows")
    for part, value in (("test", 0.8), ("cv", 0.6)):
        for end, move in (("", 0), ("_std", 0.01), ("_low", -0.02), ("_high", 0.02)):
            local_client.log_metric(run_id, f"{part}_coverage:0.1-0.9{end}", value + move)
    outcome, evidence = check(local_client, name, tmp_path, "calibrated: {}")
    assert (outcome, evidence) == (
        "fail",
        "On the rows of the cross-validation: coverage:0.1-0.9 = 0.6, 95 % interval 0.58 to 0.62, nominal 0.8. "
        "Allowed: within 0.05 of nominal.",
    )


def test_a_slice_may_not_be_much_worse(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    assert check(local_client, name, tmp_path, "no_slice_worse_than: {}") == (
        "fail",
        "The version's run recorded no slices. Train again with this version of boostlab, and register the new run.",
    )
    slices = [{"name": "age <= 3", **SLICE}, {"name": "sex = 2", **SLICE, "is_worse": False, "value": 9.0}]
    add_file(
        local_client, name, tmp_path, "evaluation/slices.json", json.dumps({"metric": "rmse", "value": 1.0, "slices": slices})
    )
    outcome, evidence = check(local_client, name, tmp_path, "no_slice_worse_than: {times: 2}")
    assert outcome == "fail" and evidence.endswith("where age <= 3: rmse 3 on 30 rows, 1 elsewhere.")
    outcome, evidence = check(local_client, name, tmp_path, "no_slice_worse_than: {times: 3}")
    assert outcome == "pass" and evidence.startswith("Of 2 slices of the test rows, none has")


def test_without_slices_there_is_nothing_to_judge(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    add_file(local_client, name, tmp_path, "evaluation/slices.json", json.dumps({"metric": "rmse", "value": 1.0, "slices": []}))
    outcome, evidence = check(local_client, name, tmp_path, "no_slice_worse_than: {}")
    assert outcome == "not applicable" and "too few" in evidence


def test_the_newest_deployment_tells_the_latency(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    outcome, evidence = check(local_client, name, tmp_path, "latency_budget: {p99_ms: 5}")
    assert outcome == "fail" and f"-p output process -p model {name} -p version 1" in evidence

    def deploy(run_name: str, version: str, p99_ms: float) -> None:
        run_id = record_run(local_client, run_name, metrics={"p99_ms_1_clients": p99_ms, "p99_ms_8_clients": 9 * p99_ms})
        for tag, value in (("model", name), ("version", version)):
            local_client.set_tag(run_id, f"boostlab.{tag}", value)

    deploy("slow", "1", 7.0)
    assert check(local_client, name, tmp_path, "latency_budget: {p99_ms: 5}") == (
        "fail",
        "p99 for 1 client is 7 ms (run slow), allowed at most 5 ms.",
    )
    deploy("fast", "1", 4.0)
    deploy("of another version", "2", 1000.0)
    assert check(local_client, name, tmp_path, "latency_budget: {p99_ms: 5}")[0] == "pass"
    outcome, evidence = check(local_client, name, tmp_path, "latency_budget: {p99_ms: 5, clients: 8}")
    assert outcome == "fail" and "p99 for 8 clients is 36 ms" in evidence


def test_an_absent_or_incomplete_card_fails(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    assert "recorded no model card" in check(local_client, name, tmp_path, "card_complete: {}")[1]
    add_file(local_client, name, tmp_path, "model_card.md", "# Model card")
    outcome, evidence = check(local_client, name, tmp_path, "card_complete: {}")
    assert outcome == "fail" and "what the model is for. State it in a sentence: -p purpose" in evidence


OWN = """
def enough_rows(review, *, least: int = 10):
    rows = len(review.evidence.params)
    return ("pass" if rows >= least else "fail"), f"version {review.version.number} to {review.to_stage}"
"""


def test_a_labs_own_rule_sees_the_version_and_its_evidence(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    said = "version 1 to production"
    assert check(local_client, name, tmp_path, "enough_rows: {least: 0}", rules=OWN) == ("pass", said)
    assert check(local_client, name, tmp_path, "enough_rows: {least: 100000}", rules=OWN) == ("fail", said)
    assert check(local_client, name, tmp_path, "enough_rows: {stages: [staging]}", rules=OWN)[0] == "not applicable"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "The rule cannot be checked: ZeroDivisionError"),
        ("return True", "The rule returns True. It returns an outcome ('pass', 'fail', 'not applicable') and a sentence"),
        ("return 'passed', 'all right'", "The rule returns ('passed', 'all right')."),
        ("return 'pass', 3", "The rule returns ('pass', 3)."),
        ("raise SystemExit", "The rule cannot be checked: SystemExit"),
    ],
)
def test_a_faulty_rule_of_a_lab_fails_and_says_why(local_client: Any, name: str, tmp_path: Path, body: str, words: str) -> None:
    add_version(local_client, name)
    outcome, evidence = check(local_client, name, tmp_path, "own: {}", rules=f"def own(review):\n    {body}\n")
    assert outcome == "fail" and words in evidence


def test_the_rule_of_the_guide_works(local_client: Any, name: str, tmp_path: Path) -> None:
    add_version(local_client, name)
    local_client.log_metric(local_client.get_model_version(name, "1").run_id, "rows", 442)
    guide = (PROJECT / "docs" / "guides" / "stages.md").read_text(encoding="utf-8")
    rules, gate = (re.search(rf"(?s)```{language}\n(.+?)```", guide) for language in ("python", "yaml"))
    assert rules
    assert gate
    expected = ("fail", "The table has 442 rows, required are 5,000.")
    assert check(local_client, name, tmp_path, gate[1], rules=rules[1]) == expected
