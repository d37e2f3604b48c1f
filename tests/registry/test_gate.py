"""The gate's file: its content, its faults, and where it is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.paths import PROJECT

from boostlab.errors import LabError
from boostlab.registry.gate import RULES, find_gate, load_gate

OFF = {"cross_validated", "calibrated", "no_slice_worse_than", "latency_budget", "card_complete"}  # each takes some work
OWN = PROJECT / "parameters" / "registry" / "gate.yaml"


def test_the_kits_gate_names_every_rule_and_requires_staging_before_production() -> None:
    gate, text = load_gate(OWN), OWN.read_text(encoding="utf-8")
    assert all(f"\n{name}:" in text or f"\n# {name}:" in text for name in RULES)
    assert RULES.keys() - gate.options.keys() == OFF
    steps = gate.options["allowed_transitions"].model_dump(exclude={"stages"})
    assert [stage for stage, allowed in steps.items() if "production" in allowed] == ["staging"]


def test_the_rules_that_the_kits_gate_has_off_are_valid_where_they_are_on(tmp_path: Path) -> None:
    text = OWN.read_text(encoding="utf-8")
    start = text.index("# The rules below are off.")
    (tmp_path / "gate.yaml").write_text(
        re.sub(r"(?m)^# ?", "", text[text.index("\n", start) : text.index("# Rules of your own")])
    )
    assert load_gate(tmp_path / "gate.yaml").options.keys() == OFF


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


OWN_RULES = """
from typing import Annotated
from pydantic import Field

LEAST = 10

def enough_rows(review, *, least: Annotated[int, Field(ge=1)] = LEAST):
    rows = int(review.run.data.metrics["rows"])
    return ("pass" if rows >= least else "fail"), f"{rows} rows, required {least}."

def _help():
    pass
"""


def write_lab(folder: Path, gate: str, rules: str = OWN_RULES) -> Path:
    (folder / "rules.py").write_text(rules)
    (folder / "gate.yaml").write_text(gate)
    return folder / "gate.yaml"


def test_a_labs_own_rules_lie_next_to_its_gate(tmp_path: Path) -> None:
    gate = load_gate(write_lab(tmp_path, "enough_rows: {least: 500, stages: [test]}\nbeats_champion: {}"))
    assert list(gate.options) == ["beats_champion", "enough_rows"]
    assert gate.options["enough_rows"].model_dump() == {"stages": ("test",), "least": 500}


@pytest.mark.parametrize(
    ("gate", "rules", "message"),
    [
        ("enough_row: {}", OWN_RULES, "No rule 'enough_row'. Did you mean 'enough_rows'?"),
        ("enough_rows: {most: 3}", OWN_RULES, "enough_rows has no option 'most'"),
        ("enough_rows: {least: 0}", OWN_RULES, "enough_rows.least = 0 is out of range. Allowed: 1 <= least."),
        ("enough_rows: {least: many}", OWN_RULES, "enough_rows.least takes a whole number with 1 <= least, not 'many'."),
        (
            "{}",
            "def beats_champion(review):\n    return 'pass', ''",
            "'beats_champion' is a rule of boostlab. Give",
        ),
        (
            "{}",
            "def f(review, least=1):\n    ...",
            "It takes the review, and its options after a star: def f(review, *",
        ),
        ("{}", "def f():\n    ...", "f is no rule."),
        ("{}", "def f(*, review=1):\n    ...", "f is no rule."),
        ("{}", "def f(review, *, least):\n    ...", "The option 'least' of the rule f needs a default, such as least=1."),
        ("{}", "def f(", "cannot be loaded: SyntaxError"),
        ("{}", "import nowhere", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_refuses_faulty_rules_of_a_lab(tmp_path: Path, gate: str, rules: str, message: str) -> None:
    with pytest.raises(LabError) as refusal:
        load_gate(write_lab(tmp_path, gate, rules))
    assert message in str(refusal.value)
