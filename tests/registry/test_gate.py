"""The gate's file: its content, its faults, and where it is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.paths import PROJECT

from boostlab.errors import LabError
from boostlab.registry.gate import Gate, find_gate, load_gate

OWN = PROJECT / "parameters" / "registry" / "gate.yaml"


def test_the_kits_gate_has_every_rule_and_requires_staging_before_production() -> None:
    gate = load_gate(OWN)
    shown = OWN.read_text(encoding="utf-8").replace("\n# cross_validated:", "\ncross_validated:")  # off, because folds cost time
    assert all(f"\n{name}:" in shown for name in Gate.model_fields)
    assert {name for name in Gate.model_fields if getattr(gate, name) is None} == {"cross_validated"}
    assert gate.allowed_transitions is not None
    steps = gate.allowed_transitions.model_dump()
    assert [stage for stage, allowed in steps.items() if "production" in allowed] == ["staging"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beats_champio: {}", "No rule 'beats_champio'. Did you mean 'beats_champion'?"),
        ("beats_champion: {demands: better}", "beats_champion has no option 'demands'. Did you mean 'demand'?"),
        ("beats_champion: {demand: beter}", "beats_champion.demand has no choice 'beter'. Did you mean 'better'?"),
        ("model_answers: {stages: [prod]}", "model_answers.stages[0] has no choice 'prod'"),
        ("metric_thresholds: {all_tasks: {test_r2: '0.5'}}", "'0.5' is no bound. Write a bound such as '>= 0.8'"),
        ("metric_thresholds: {all_tasks: {test_r2: 0.5}}", "metric_thresholds.all_tasks['test_r2'] takes text, not 0.5"),
        ("- a", "is not a mapping of rules"),
        ("a: [", "cannot be read"),
        ("1: {}", "No rule '1'"),
    ],
)
def test_refuses_a_faulty_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(LabError) as refusal:
        load_gate(path)
    assert message in str(refusal.value) and str(path) in str(refusal.value)


def test_finds_the_projects_own_gate_before_the_kits(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert find_gate("", notebook=str(tmp_path / "registry.ipynb")) == OWN
    own = tmp_path / "parameters" / "registry" / "gate.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_gate("", notebook=str(tmp_path / "registry.ipynb")) == own
    with pytest.raises(LabError, match=rf"There is no gate file at {Path.cwd()}/nowhere\.yaml\. Correct"):
        find_gate("nowhere.yaml", notebook="")
