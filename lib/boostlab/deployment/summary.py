"""What ``deploy.ipynb`` shows of a deployment: tables, a plot, sentences, and a command that calls the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from boostlab.deployment.service import Service
from boostlab.deployment.target import Target
from boostlab.deployment.verification import VerificationReport

if TYPE_CHECKING:
    from boostlab.deployment.release import Image


def tabulate_target(target: Target) -> pd.DataFrame:
    """Return the target version as a table."""
    facts = {"model": target.model, "version": target.version, "stage": target.stage, "run": target.run_id}
    return pd.DataFrame({"": facts | {"image": target.reference}})


def tabulate_checks(report: VerificationReport | None) -> pd.DataFrame:
    """Return the checks as a table."""
    checks = report.checks if report else []
    rows = [(check.name, "passed" if check.passed else "FAILED", check.found) for check in checks]
    return pd.DataFrame(rows, columns=["check", "", "found"]).set_index("check")


def tabulate_figures(image: Image | None, report: VerificationReport | None) -> pd.DataFrame:
    """Return the figures of a deployment as a table."""
    rows: list[tuple[str, str]] = []
    if report:
        rows.append(("checks passed", report.passed))
        rows.append(("start (s)", f"{report.start_s:.1f}"))
    if image:
        rows.append(("size (MB)", f"{image.size_mb:,.0f}"))
    for clients, load in report.loads.items() if report else ():
        who = f"{clients} client{'s' if clients > 1 else ''}"
        rows.append((f"p50, p99 for {who} (ms)", f"{load.percentile_ms(0.5):.1f}, {load.percentile_ms(0.99):.1f}"))
        rows.append((f"throughput for {who} (requests/s)", f"{load.per_second:,.0f}"))
    return pd.DataFrame(rows, columns=["figure", ""]).set_index("figure")


def describe_release(released: str, service: Service | None, target: Target) -> str:
    """Say what is released and, if it runs, how to call it."""
    text = f"Released as `{released}`."
    if service:
        call = format_call(service, target)
        text += f" It runs as `{service.name}` until `docker rm -f {service.name}`:\n```\n{call}\n```"
    return text


def describe_result(target: Target, report: VerificationReport, place: str) -> str:
    """Sum up a verified deployment in two sentences; `place` says where it is, such as "served by a process"."""
    single, many = report.loads[min(report.loads)], report.loads[max(report.loads)]
    speed = (
        f"p99 {single.percentile_ms(0.99):.1f} ms for 1 client, {many.per_second:,.0f} requests/s for {max(report.loads)} clients"
    )
    return (
        f"Version {target.version} of {target.model} passed {report.passed} checks, {speed}, and is {place}. "
        "Next: the run's artifacts in MLflow's UI; `manifests/` has the files to run the image elsewhere."
    )


def format_call(service: Service, target: Target) -> str:
    """Return a curl command that posts the first row of the model's example."""
    text = (target.folder / "serving_input_example.json").read_text(encoding="utf-8")
    split = json.loads(text.replace('"NaT"', "null"), parse_constant=lambda _: None)["dataframe_split"]
    body = json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"][:1]}})
    quoted = body.replace("'", "'\\''")
    return f"curl -H 'Content-Type: application/json' -d '{quoted}' {service.address}/invocations"
