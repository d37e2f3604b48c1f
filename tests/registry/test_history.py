from __future__ import annotations

import random
from typing import Any

from hypothesis import given, strategies as st

from boostlab.registry.history import Transition, new_transition, read_transitions, tell
from boostlab.registry.stages import ALIASES, TARGETS, Stage


def move(version: int, to: Stage, time_ms: int, *, action: str = "promote", start: Stage = "none") -> Transition:
    return Transition(version, time_ms, f"{time_ms:08x}", action=action, from_stage=start, to_stage=to)


def test_a_transition_survives_its_tag() -> None:
    gate = {"verdict": "passed", "rules": {"model_answers": "pass"}}
    first = new_transition([], version=3, action="promote", from_stage="none", to_stage="test", who="zoë", why="“so”", gate=gate)
    assert read_transitions(3, {first.key: first.to_tag(), "other": "tag"}) == [first]


def test_tags_that_read_as_no_transition_are_left_alone() -> None:
    prefix = "boostlab.transition."
    odd = {
        f"{prefix}x-1": "{}",
        f"{prefix}5-1": "no json",
        f"{prefix}6-1": '{"from": "none", "to": "moon"}',
        f"{prefix}7-1": "[]",
    }
    assert read_transitions(1, odd) == []


def test_who_enters_a_stage_displaces_the_version_that_was_there() -> None:
    chronicle = tell([move(1, "production", 1), move(2, "staging", 2), move(2, "production", 3)])
    assert chronicle.holders == {"production": 2}
    assert chronicle.stages == {1: "archived", 2: "production"}
    assert [(event.version, event.action, event.from_stage, event.to_stage) for event in chronicle.events] == [
        (1, "promote", "none", "production"),
        (2, "promote", "none", "staging"),
        (2, "promote", "staging", "production"),
        (1, "displaced", "production", "archived"),
    ]


def test_a_new_transition_comes_after_a_clock_that_is_ahead() -> None:
    ahead = move(1, "test", 10**14)
    assert new_transition([ahead], version=2, action="promote", from_stage="none", to_stage="test").order > ahead.order


def test_each_rollback_goes_one_version_further_back() -> None:
    events = [move(number, "production", number) for number in (1, 2, 3)]
    assert tell(events).before("production") == 2
    events.append(move(2, "production", 4, action="rollback"))
    assert tell(events).before("production") == 1
    events.append(move(1, "production", 5, action="rollback"))
    assert tell(events).before("production") is None
    events.append(move(3, "production", 6))
    assert tell(events).before("production") == 1


def test_a_rollback_of_an_empty_stage_leads_to_who_was_there_last() -> None:
    events = [move(1, "production", 1), move(2, "production", 2), move(2, "archived", 3, action="archive")]
    assert tell(events).before("production") == 2
    assert tell([]).before("production") is None


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(TARGETS)), max_size=30), st.randoms())
def test_every_reader_tells_the_same_and_no_two_versions_share_a_stage(moves: list[Any], order: random.Random) -> None:
    events = [move(version, to, time_ms) for time_ms, (version, to) in enumerate(moves)]
    chronicle = tell(events)
    order.shuffle(events)
    assert tell(events) == chronicle
    held = {version: stage for version, stage in chronicle.stages.items() if stage in ALIASES}
    assert held == {version: stage for stage, version in chronicle.holders.items()}
    written = [event for event in chronicle.events if event.action != "displaced"]
    assert tell(written) == chronicle
