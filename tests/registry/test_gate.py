"""The gate's file: its content, its faults, and where it is found."""

from __future__ import annotations

import os
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
        ("{}", "raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("{}", "def read(x, y):\n    ...", "If it only helps rules, begin its name with an underscore."),
        ("{}", "def model_dump(review):\n    ...", "'model_dump' begins with an underscore, or pydantic uses this name itself."),
        ("{}", "def f(review, *, copy=1):\n    ...", "The option 'copy' of the rule f begins with"),
        ("{}", "def f(review, *, _least=1):\n    ...", "The option '_least' of the rule f begins with"),
        (
            "{}",
            "def f(review, *, least: 'Int' = 1):\n    ...",
            "The type hints of the rule f cannot be used: NameError: name 'Int'",
        ),
        ("{}", "import re\ndef f(review, *, least: re.Scanner = 1):\n    ...", "The type hints of the rule f cannot be used"),
        ("f: {least: 3}", "from typing import Literal\ndef f(review, *, least: Literal[1, 8] = 1):\n    ...", "It takes: 1, 8."),
        ("enough_rows: {stages: test}", OWN_RULES, "enough_rows.stages takes a list, not 'test'."),
        ("enough_rows: {? 2026-01-01 : 3}", OWN_RULES, "cannot be read: keys must be str"),
    ],
)
def test_refuses_faulty_rules_of_a_lab(tmp_path: Path, gate: str, rules: str, message: str) -> None:
    with pytest.raises(LabError) as refusal:
        load_gate(write_lab(tmp_path, gate, rules))
    assert message in str(refusal.value)


ODD_RULES = """
from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boostlab.registry.rule import Review, Verdict


class Side(Enum):
    LEFT = "left"


@dataclass(frozen=True)
class Range:
    low: float = 0.0


def _plain(check):
    def wrapper(review):
        return check(review)
    return wrapper


@_plain
def first(review):
    return "pass", "first"


@_plain
def second(review):
    return "fail", "second"


@functools.cache
def third(review: Review, /, *, side: Side | None = None, within: Range = Range(), names: set[str] = frozenset()) -> Verdict:
    return "pass", f"{side} {within} {names}"


fourth = lambda review: ("pass", "fourth")
"""


def test_a_rule_is_known_by_the_name_in_its_file_however_it_was_made(tmp_path: Path) -> None:
    text = "first: {}\nsecond: {}\nthird: {side: left, within: {low: 2}, names: [a, a]}\nfourth: {}"
    gate = load_gate(write_lab(tmp_path, text, ODD_RULES))
    assert [gate.checks[name](None)[1] for name in ("first", "second", "fourth")] == ["first", "second", "fourth"]
    side, within, names = (getattr(gate.options["third"], name) for name in ("side", "within", "names"))
    assert (side.value, within.low, names) == ("left", 2.0, {"a"})


def test_a_changed_rule_counts_at_once(tmp_path: Path) -> None:
    for word in ("old", "new"):  # of one size, and within one tick of the file's time
        path = write_lab(tmp_path, "say: {}", f"def say(review):\n    return 'pass', {word!r}\n")
        os.utime(tmp_path / "rules.py", (1e9, 1e9))
        assert load_gate(path).checks["say"](None) == ("pass", word)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gate.yaml", "rules.py"]
