"""Random transitions of one registered model, by several processes at once, and the check of the history that they leave.

The check is that of a linearizable register: each transition that was reported as applied is in the history once, and no other
is. Their order agrees with real time. Each precondition holds at the transition's place. Run one process by
``python -m tests.support.transitions ADDRESS MODEL SEED COUNT``; it prints one JSON object per applied transition.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.history import ALIASES, NONE, replay
from boostlab.registry.transition import TransitionRequest, apply_transition, request_transition
from boostlab.registry.view import ModelView, view_model
from boostlab.tracking.store import find_store, open_store


def run_processes(address: str, name: str, folder: Path, *, seeds: range, count: int) -> list[dict[str, Any]]:
    """Apply `count` transitions in each of several processes without a common lock, and return the reports of all."""
    command = [sys.executable, "-m", "tests.support.transitions", address, name]
    processes = []
    for seed in seeds:
        env = os.environ | {"XDG_STATE_HOME": str(folder / f"host{seed}")}
        processes.append(subprocess.Popen([*command, str(seed), str(count)], env=env, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(line) for output in outputs for line in output.splitlines()]


def check_history(view: ModelView, reports: list[dict[str, Any]]) -> None:
    """Fail if the history of a model is not one of which each process saw its part."""
    history = view.recorded.written
    report_by_id = {report["id"]: report for report in reports}
    assert sorted(item.id for item in history) == sorted(report_by_id)  # nothing lost, nothing twice, no phantom
    assert [item.number for item in history] == list(range(1, len(history) + 1))
    latest_start = 0.0
    for place, item in enumerate(history):
        report, before = report_by_id[item.id], replay(history[:place])
        assert report["end"] > latest_start, f"{item} comes after a transition that began when it had ended"
        latest_start = max(latest_start, report["start"])
        for fact in report["expected"].split():
            left, _, right = fact.partition(":")
            held = before.stage_by_version.get(int(left), NONE) if left.isdigit() else before.version_by_stage.get(left, 0)
            assert str(held) == right, f"{item} expected {fact}"
    assert view.aliases == view.recorded.version_by_stage
    assert view.inferred == []


def main(address: str, name: str, seed: int, count: int) -> None:
    """Apply random transitions, and print what was applied."""
    client = open_store(find_store(address, project=Path.cwd())).client
    chance = random.Random(seed)
    applied = 0
    while applied < count:
        request = _choose(view_model(client, name), chance)
        if request is None:
            continue
        start = time.monotonic()
        try:
            transition, _ = apply_transition(client, request, who=f"p{seed}")
        except OutdatedError:
            continue
        applied += 1
        facts = {"id": transition.id, "start": start, "end": time.monotonic(), "expected": request.expected_state}
        sys.stdout.write(f"{json.dumps(facts)}\n")


def _choose(view: ModelView, chance: random.Random) -> TransitionRequest | None:
    """Return a random request, or None if it is impossible."""
    version = chance.choice(view.versions).number
    try:
        match chance.choice(("promote", "promote", "archive", "rollback")):
            case "archive":
                return request_transition(view, "archive", version=version)
            case "rollback":
                return request_transition(view, "rollback", stage=chance.choice(ALIASES))
            case _:
                return request_transition(view, "promote", version=version, stage=chance.choice(ALIASES))
    except LabError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
