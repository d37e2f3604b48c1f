"""What deploy.ipynb shows: tables, sentences, and a command that works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boostlab.deployment import summary
from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.parity import CheckResult
from boostlab.deployment.release import Image
from boostlab.deployment.service import Service, run_process
from boostlab.deployment.target import Target
from boostlab.deployment.verification import VerificationReport

REPORT = VerificationReport(
    [CheckResult("a", True, "equal"), CheckResult("b", False, "status 500")],
    {1: LoadResult([0.001, 0.003], seconds=1.0), 8: LoadResult([0.002] * 4000, seconds=1.0)},
    start_s=1.25,
)


def target(folder: Path = Path()) -> Target:
    return Target(model="homes", version=3, stage="production", run_id="f00", folder=folder, repository="homes", labels={})


def test_tables_show_the_target_the_checks_and_the_figures() -> None:
    assert summary.tabulate_target(target())[""].to_dict() == {
        "model": "homes", "version": 3, "stage": "production", "run": "f00", "image": "homes:v3",
    }  # fmt: skip
    assert summary.tabulate_checks(REPORT)[""].to_dict() == {"a": "passed", "b": "FAILED"}
    assert summary.tabulate_figures(Image("homes:v3", "sha256:0", 432.1, 5.0), REPORT)[""].to_dict() == {
        "checks passed": "1 of 2", "start (s)": "1.2", "size (MB)": "432",
        "p50, p99 for 1 client (ms)": "3.0, 3.0", "throughput for 1 client (requests/s)": "2",
        "p50, p99 for 8 clients (ms)": "2.0, 2.0", "throughput for 8 clients (requests/s)": "4,000",
    }  # fmt: skip


def test_tables_are_empty_without_a_report() -> None:
    assert summary.tabulate_checks(None).empty and summary.tabulate_figures(None, None).empty


def test_the_sentence_names_the_slowest_and_the_fastest() -> None:
    text = summary.describe_result(target(), REPORT, "served by a process")

    assert "Version 3 of homes passed 1 of 2 checks, p99 3.0 ms for 1 client, 4,000 requests/s for 8 clients" in text


@pytest.mark.parametrize("dataset", ["iris", "own"])
def test_the_shown_command_gets_one_answer(dataset: str, package: Callable[[str], Any]) -> None:
    folder = package(dataset)[0]
    with run_process(folder) as service:
        shown = summary.describe_release("homes:v3@sha256:0", Service(service.address, 1.0, "boostlab-homes"), target(folder))
        call = next(line for line in shown.splitlines() if line.startswith("curl "))
        done = subprocess.run(["bash", "-c", f"{call} -s"], capture_output=True, text=True, timeout=60, check=True)

    assert len(json.loads(done.stdout)["predictions"]) == 1
    assert "until `docker rm -f boostlab-homes`" in shown
