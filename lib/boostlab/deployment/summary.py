"""What a deployment is told and shown with: tables and sentences that are made of facts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from boostlab.deployment.docker_containers import Service
from boostlab.deployment.release import Evidence, Image
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Candidate


def tabulate_candidate(candidate: Candidate) -> pd.DataFrame:
    """Return what is to be deployed, as a table to look at."""
    facts = {
        "model": candidate.model,
        "version": candidate.version,
        "stage": candidate.stage,
        "run": candidate.run_id,
        "image": candidate.reference,
    }
    return pd.DataFrame({"": facts})


def tabulate_outcome(image: Image | None, evidence: Evidence | None) -> pd.DataFrame:
    """Return the figures of a deployment as a table to look at."""
    rows: list[tuple[str, str]] = []
    if evidence:
        rows.append(("checks passed", f"{len(evidence.checks) - len(evidence.failed)} of {len(evidence.checks)}"))
        rows.append(("start (s)", f"{evidence.start_s:.1f}"))
    if image:
        rows.append(("size (MB)", f"{image.size_mb:,.0f}"))
    for clients, load in evidence.loads.items() if evidence else ():
        who = f"{clients} client{'s' if clients > 1 else ''}"
        rows.append((f"p50, p99 for {who} (ms)", f"{load.percentile_ms(0.5):.1f}, {load.percentile_ms(0.99):.1f}"))
        rows.append((f"throughput for {who} (requests/s)", f"{load.per_second:,.0f}"))
    return pd.DataFrame(rows, columns=["figure", ""]).set_index("figure")


def describe_image(image: Image | None, context: Path | None) -> str:
    """Say what was built."""
    if context:
        return f"The build context is `{context / 'context'}`: `docker build {context / 'context'}` makes the image."
    if image is None:
        return "No image is built."
    return f"`{image.reference}`, {image.size_mb:,.0f} MB, ready after {image.build_s:.0f} s."


def describe_release(released: str, service: Service | None, candidate: Candidate | None) -> str:
    """Say what is released, and how to call it if it runs."""
    if not released or candidate is None:
        return "Nothing is released."
    words = f"Released as `{released}`."
    if service:
        words += (
            f" It runs as `{service.name}` until `docker rm -f {service.name}`:\n```\n{describe_call(service, candidate)}\n```"
        )
    return words


def describe_call(service: Service, candidate: Candidate) -> str:
    """Return a curl line that works as it stands."""
    written = (candidate.folder / "serving_input_example.json").read_text(encoding="utf-8")
    split = json.loads(written.replace('"NaT"', "null"), parse_constant=lambda _: None)["dataframe_split"]
    body = json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"][:1]}})
    quoted = body.replace("'", "'\\''")
    return f"curl -H 'Content-Type: application/json' -d '{quoted}' {service.address}/invocations"


def describe_outcome(candidate: Candidate | None, settings: Deploy, released: str, evidence: Evidence | None) -> str:
    """Sum up in a sentence or two."""
    if candidate is None:
        return "No model was named: these are the ones there are. Add `-p model NAME`."
    what = f"Version {candidate.version} of {candidate.model}"
    if evidence is None:
        return f"{what} is written as a build context with its manifests."
    passed = f"passed {len(evidence.checks) - len(evidence.failed)} of {len(evidence.checks)} checks"
    alone, many = evidence.loads[min(evidence.loads)], evidence.loads[max(evidence.loads)]
    speed = f"p99 {alone.percentile_ms(0.99):.1f} ms alone, {many.per_second:,.0f} requests/s for {max(evidence.loads)} clients"
    where = f"released as `{released}`" if released else f"served by a {settings.output}"
    return f"{what} {passed}, {speed}, and is {where}. Next: the run's artifacts in MLflow's UI, `manifests/` among them."
