from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from hypothesis import given, strategies as st

from boostlab.registry.history import ALIASES, PREFIX, TARGETS, Stage, Transition, new_transition, read_transitions, replay

VERSION_0_1 = {  # tags as version 0.1 wrote them, by version
    1: {
        f"{PREFIX}1000-0000000a": {"from": "none", "to": "production", "action": "promote", "who": "ana", "why": "first"},
        f"{PREFIX}4000-0000000d": {
            "from": "archived",
            "to": "production",
            "action": "rollback",
            "who": "ana",
            "why": "it drifts",
        },
    },
    2: {
        f"{PREFIX}2000-0000000b": {"from": "none", "to": "staging", "action": "outside", "who": "unknown", "why": "an alias"},
        f"{PREFIX}3000-0000000c": {"from": "staging", "to": "production", "action": "promote", "who": "bea", "why": ""},
    },
}
GATE_0_1 = {"verdict": "not asked", "rules": {}, "evidence": {}}


def transition(version: int, to: Stage, time_ms: int, *, action: str = "promote", start: Stage = "none") -> Transition:
    return Transition(version, time_ms, f"{time_ms:08x}", action=action, from_stage=start, to_stage=to)


def test_a_transition_survives_its_tag() -> None:
    gate = {"verdict": "passed", "rules": {"model_answers": "pass"}}
    first = new_transition(
        number=7, version=3, action="promote", from_stage="none", to_stage="test", who="zoë", why="“so”", gate=gate
    )
    assert read_transitions(3, {first.key: first.to_tag(), "other": "tag"}) == [first]


def test_tags_of_version_0_1_replay_as_before() -> None:
    found = []
    for version, tags in VERSION_0_1.items():
        texts = {key: json.dumps({**facts, "run_id": "r1", "gate": GATE_0_1}) for key, facts in tags.items()}
        found += read_transitions(version, texts)
    history = replay(found)
    assert history.version_by_stage == {"production": 1}
    assert history.stage_by_version == {1: "production", 2: "archived"}
    assert [(item.version, item.action, item.from_stage, item.to_stage) for item in history.transitions] == [
        (1, "promote", "none", "production"),
        (2, "outside", "none", "staging"),
        (2, "promote", "staging", "production"),
        (1, "displaced", "production", "archived"),
        (1, "rollback", "archived", "production"),
        (2, "displaced", "production", "archived"),
    ]
    assert history.transitions[0].run_id == "r1" and history.transitions[0].verdict == "not asked"
    assert history.rollback_target("production") is None


def test_ignores_malformed_transition_tags() -> None:
    malformed = {
        f"{PREFIX}x-1": "{}",
        f"{PREFIX}5-1": "no json",
        f"{PREFIX}6-1": '{"from": "none", "to": "moon"}',
        f"{PREFIX}7-1": "[]",
    }
    assert read_transitions(1, malformed) == []


def test_a_version_that_enters_a_stage_displaces_the_previous_one() -> None:
    history = replay([transition(1, "production", 1), transition(2, "staging", 2), transition(2, "production", 3)])
    assert history.version_by_stage == {"production": 2}
    assert history.stage_by_version == {1: "archived", 2: "production"}
    assert [(item.version, item.action, item.from_stage, item.to_stage) for item in history.transitions] == [
        (1, "promote", "none", "production"),
        (2, "promote", "none", "staging"),
        (2, "promote", "staging", "production"),
        (1, "displaced", "production", "archived"),
    ]


def test_the_order_does_not_depend_on_clocks() -> None:
    """Transitions that earlier versions wrote, without numbers, come first, in the order of their times."""
    old = [transition(2, "test", 2**50), transition(1, "test", 5)]
    new = [replace(transition(number, "test", 2**42 - number), number=number) for number in (3, 4, 5)]
    seen = replace(transition(6, "staging", 2**43, action="outside"), number=5)
    history = replay([seen, *reversed(new), *old])
    assert [item.version for item in history.written] == [1, 2, 3, 4, 6, 5]
    assert history.next_number == 6


def test_each_rollback_goes_one_version_further_back() -> None:
    transitions = [transition(number, "production", number) for number in (1, 2, 3)]
    assert replay(transitions).rollback_target("production") == 2
    transitions.append(transition(2, "production", 4, action="rollback"))
    assert replay(transitions).rollback_target("production") == 1
    transitions.append(transition(1, "production", 5, action="rollback"))
    assert replay(transitions).rollback_target("production") is None
    transitions.append(transition(3, "production", 6))
    assert replay(transitions).rollback_target("production") == 1


def test_a_rollback_of_an_empty_stage_leads_to_its_last_version() -> None:
    transitions = [transition(1, "production", 1), transition(2, "production", 2)]
    transitions.append(transition(2, "archived", 3, action="archive"))
    assert replay(transitions).rollback_target("production") == 2
    assert replay([]).rollback_target("production") is None


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(TARGETS)), max_size=30), st.randoms())
def test_every_reader_derives_the_same_history_and_a_stage_has_one_version(steps: list[Any], order: random.Random) -> None:
    transitions = [transition(version, to, time_ms) for time_ms, (version, to) in enumerate(steps)]
    history = replay(transitions)
    order.shuffle(transitions)
    assert replay(transitions) == history
    staged = {version: stage for version, stage in history.stage_by_version.items() if stage in ALIASES}
    assert staged == {version: stage for stage, version in history.version_by_stage.items()}
    assert replay(history.written) == history
