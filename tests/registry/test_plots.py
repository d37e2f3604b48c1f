from __future__ import annotations

import time

from boostlab.registry.history import Stage, Transition, replay
from boostlab.registry.plots import find_periods, plot_timeline
from boostlab.registry.view import ModelView


def test_the_timeline_has_a_period_for_each_stay_and_the_last_ends_now() -> None:
    steps: list[tuple[int, Stage, int]] = [(1, "staging", 1000), (1, "production", 2000), (2, "production", 5000)]
    history = replay(Transition(version, time_ms, "a", "promote", "none", to) for version, to, time_ms in steps)
    periods = [period for period in find_periods(history.transitions, now=9) if period[1] != "archived"]
    assert periods == [(1, "staging", 1, 2), (1, "production", 2, 5), (2, "production", 5, 9)]


def test_the_timeline_draws_the_versions_with_the_latest_transitions_and_the_name_as_text() -> None:
    now = int(time.time() * 1000)
    history = replay(Transition(n, now + n, "a", "promote", "none", "test") for n in range(1, 40))
    figure = plot_timeline(ModelView("su$gar$_{x}", (), history.version_by_stage, history))
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"version {n}" for n in range(28, 40)]
    assert axes.get_xlabel() == "local time" and "su" in axes.get_title(loc="left")
