"""The gate: what its file may say, and what each rule finds on a real version."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.common import PROJECT
from tests.support.registry import HOPELESS, STRONG, WEAK, add_version

from boostlab.errors import LabError
from boostlab.models.loading import fetch_version, load_version
from boostlab.registry import transition as registry
from boostlab.registry.gate import Gate, find_gate, load_gate
from boostlab.registry.request import plan_move
from boostlab.registry.rules import judge
from boostlab.registry.stages import Stage
from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store

OWN = PROJECT / "parameters" / "registry" / "gate.yaml"


@pytest.fixture(params=["sqlite", "file"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    address = f"sqlite:///{tmp_path}/mlflow.db" if request.param == "sqlite" else str(tmp_path / "mlruns")
    return open_store(find_store(address, project=tmp_path)).client


def move(client: Any, version: int, stage: Stage) -> None:
    asked = plan_move(view_model(client, "sugar"), "promote", version=version, stage=stage)
    registry.carry_out(client, asked, [], who="ana")


def ask(client: Any, version: int, stage: Stage, gate: Gate | None = None) -> dict[str, tuple[str, str]]:
    asked = plan_move(view_model(client, "sugar"), "promote", version=version, stage=stage)
    return {item.rule: (item.outcome, item.evidence) for item in judge(client, asked, gate or load_gate(OWN))}


def read(tmp_path: Path, text: str) -> Gate:
    (tmp_path / "gate.yaml").write_text(text)
    return load_gate(tmp_path / "gate.yaml")


def test_the_kits_gate_asks_every_rule_and_leads_to_production_through_staging() -> None:
    gate = load_gate(OWN)
    assert all(getattr(gate, name) is not None for name in Gate.model_fields)
    assert gate.allowed_transitions is not None
    steps = gate.allowed_transitions.model_dump()
    assert [stage for stage, allowed in steps.items() if "production" in allowed] == ["staging"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("beats_champio: {}", "No rule 'beats_champio'. Did you mean 'beats_champion'?"),
        ("beats_champion: {demands: better}", "beats_champion has no option 'demands'. Did you mean 'demand'?"),
        ("beats_champion: {demand: beter}", "beats_champion.demand has no choice 'beter'. Did you mean 'better'?"),
        ("model_answers: {stages: [prod]}", "model_answers.stages[0] has no choice 'prod'"),
        ("metric_thresholds: {all_tasks: {test_r2: '0.5'}}", "'0.5' is no bound. Write one such as '>= 0.8'"),
        ("metric_thresholds: {all_tasks: {test_r2: 0.5}}", "metric_thresholds.all_tasks['test_r2'] takes text, not 0.5"),
        ("- a", "is no mapping of rules"),
        ("a: [", "cannot be read"),
        ("1: {}", "No rule '1'"),
    ],
)
def test_refuses_a_file_that_says_what_it_does_not_know(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LabError) as refusal:
        read(tmp_path, text)
    assert said in str(refusal.value) and str(tmp_path / "gate.yaml") in str(refusal.value)


def test_finds_the_projects_own_gate_before_the_kits(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert find_gate("", notebook=str(tmp_path / "registry.ipynb")) == OWN
    own = tmp_path / "parameters" / "registry" / "gate.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_gate("", notebook=str(tmp_path / "registry.ipynb")) == own
    with pytest.raises(LabError, match=r"There is no gate nowhere\.yaml"):
        find_gate("nowhere.yaml", notebook="")


def test_a_gate_without_rules_lets_pass(client: Any, tmp_path: Path) -> None:
    add_version(client, "sugar")
    assert ask(client, 1, "production", read(tmp_path, "{}")) == {}


def test_a_sound_version_passes_into_staging_and_production(client: Any) -> None:
    add_version(client, "sugar")
    found = ask(client, 1, "staging")
    asked = ("allowed_transitions", "signature_and_example", "model_answers", "pinned_requirements")
    assert {rule for rule, (outcome, _) in found.items() if outcome == "pass"} == set(asked)
    move(client, 1, "staging")
    found = ask(client, 1, "production")
    assert found["metric_thresholds"][0] == "pass" and "test_r2 = 0.3" in found["metric_thresholds"][1]
    assert found["beats_champion"] == ("not applicable", "No other version is in production: there is no champion.")


def test_production_is_reached_through_staging_alone(client: Any) -> None:
    add_version(client, "sugar")
    said = "none to production is not allowed. From none a version may go to: test, staging, archived."
    assert ask(client, 1, "production")["allowed_transitions"] == ("fail", said)


def test_a_challenger_must_beat_the_champion_on_the_same_rows(client: Any, tmp_path: Path) -> None:
    for rounds in (WEAK, STRONG, STRONG):
        add_version(client, "sugar", rounds=rounds)
    move(client, 1, "production")
    outcome, evidence = ask(client, 2, "production")["beats_champion"]
    assert outcome == "pass" and "Version 2 is better than version 1" in evidence
    assert "95 % interval" in evidence and "on 177 rows" in evidence and "both runs held out" in evidence
    move(client, 2, "production")
    assert ask(client, 1, "production")["beats_champion"][0] == "fail"
    outcome, evidence = ask(client, 3, "production")["beats_champion"]
    assert outcome == "fail" and "not to be told apart" in evidence
    lenient = read(tmp_path, "beats_champion: {demand: not worse, metric: mae}")
    outcome, evidence = ask(client, 3, "production", lenient)["beats_champion"]
    assert outcome == "pass" and "mae" in evidence


def test_a_champion_that_cannot_be_compared_fails_with_the_reason(client: Any) -> None:
    add_version(client, "sugar", dataset="iris")
    add_version(client, "sugar")
    move(client, 1, "production")
    outcome, evidence = ask(client, 2, "production")["beats_champion"]
    assert outcome == "fail" and "Only models that predict the same can be compared" in evidence
    client.delete_run(view_model(client, "sugar").version(1).run_id)
    assert ask(client, 2, "production")["beats_champion"][0] == "fail"


def test_metrics_below_a_bound_or_absent_fail_with_the_nearest_name(client: Any, tmp_path: Path) -> None:
    add_version(client, "sugar", rounds=HOPELESS)
    outcome, evidence = ask(client, 1, "production")["metric_thresholds"]
    assert outcome == "fail" and "demanded >= 0.1" in evidence
    wrong = read(tmp_path, "metric_thresholds: {all_tasks: {test_rmsle: '< 1'}, regression: {test_r2: '>= -9'}}")
    outcome, evidence = ask(client, 1, "production", wrong)["metric_thresholds"]
    said = "Its run has no metric 'test_rmsle'. Did you mean 'test_rmse'? It has: test_mae, test_r2, test_rmse."
    assert (outcome, evidence) == ("fail", said)


def test_a_version_whose_artifacts_are_gone_fails_and_says_so(client: Any) -> None:
    add_version(client, "sugar")
    shutil.rmtree(fetch_version(client, "sugar", 1))
    fetch_version.cache_clear()
    found = ask(client, 1, "staging")
    for rule in ("signature_and_example", "model_answers", "pinned_requirements"):
        outcome, evidence = found[rule]
        assert outcome == "fail" and "The artifacts of version 1 of sugar are gone" in evidence
        assert "Restore them, or train and register again." in evidence


def test_a_model_without_signature_example_or_pins_fails(client: Any) -> None:
    add_version(client, "sugar")
    folder = fetch_version(client, "sugar", 1)
    (folder / "requirements.txt").write_text("mlflow==3.17.2  # pinned\nxgboost>=3\npandas==2.*\nnumpy\n")
    outcome, evidence = ask(client, 1, "staging")["pinned_requirements"]
    assert (outcome, evidence) == ("fail", "Not pinned: xgboost>=3, pandas==2.*, numpy. State each as name==version.")
    lines = (folder / "MLmodel").read_text().split("\n")
    (folder / "MLmodel").write_text("\n".join(_without(_without(lines, "signature"), "saved_input_example_info")))
    found = ask(client, 1, "staging")
    wanting = "a signature of its inputs and a signature of its outputs and an input example"
    assert found["signature_and_example"] == ("fail", f"It lacks {wanting}. Log the model with both, as train.ipynb does.")
    assert found["model_answers"][0] == "fail"


def test_a_model_that_does_not_load_fails_with_its_error(client: Any) -> None:
    add_version(client, "sugar")
    (booster,) = fetch_version(client, "sugar", 1).rglob("model.ubj")
    booster.write_bytes(b"broken")
    load_version.cache_clear()
    outcome, evidence = ask(client, 1, "staging")["model_answers"]
    assert outcome == "fail" and "does not answer its input example" in evidence


def _without(lines: list[str], key: str) -> list[str]:
    """Return a YAML file's lines without one of its top keys."""
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{key}:"))
    end = next(number for number in range(start + 1, len(lines)) if lines[number][:1] not in (" ", "-"))
    return lines[:start] + lines[end:]
