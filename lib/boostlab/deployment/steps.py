"""The steps of ``deploy.ipynb``, carried by one object, and what they show: tables, a plot and sentences."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from boostlab.deployment.kept_service import HOLDER_SUFFIX
from boostlab.deployment.parity import make_example_case, make_parity_case
from boostlab.deployment.release import Image, keep_running, make_image, release_image, serve_image
from boostlab.deployment.service import Service, run_process
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Target, choose_target, write_output
from boostlab.deployment.verification import VerificationReport, verify
from boostlab.display.figures import COLOURS, finish_axes, make_axes, scale_log
from boostlab.display.markdown import format_code
from boostlab.display.tables import Table
from boostlab.evaluation.holdout import fetch_holdout
from boostlab.models.loading import describe_code, is_ours, load_version
from boostlab.models.registration import fetch_card
from boostlab.registry.tables import tabulate_models
from boostlab.tracking.run import Run
from boostlab.tracking.store import open_current

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from boostlab.display.pictures import Picture

NOTHING_RELEASED = "Nothing is released."


class Deployment:
    """One deployment: its steps in their order, each of which returns what the notebook shows.

    A step does nothing if the output does not need it. Without a model, the first step shows the registered models, and
    the others do nothing.

    Raises
    ------
    LabError
        If the registry has no such version, or its files are missing.
    """

    def __init__(self, run: Run, settings: Deploy) -> None:
        self.run, self.settings, self.client = run, settings, open_current().client
        self.target: Target | None = None
        self.image: Image | None = None
        self.report: VerificationReport | None = None
        self.released = ""
        if settings.model:
            commit = run.facts.tags.get("mlflow.source.git.commit", "")
            self.target = choose_target(self.client, settings, commit=commit)
            run.log_tags({"boostlab.model": self.target.model, "boostlab.version": str(self.target.version)})

    def show_target(self) -> Table:
        """Return the target version as a table; without a model, the registered models."""
        if not (target := self.target):
            return tabulate_models(self.client)
        facts = {"model": target.model, "version": str(target.version), "stage": target.stage, "run": target.run_id}
        facts |= {"its code": describe_code(target.folder)} if self.settings.trust_code else {}
        return Table("Target", ["fact", "value"], list((facts | {"image": target.reference}).items()))

    def show_card(self) -> str:
        """Return the model card of the target version in Markdown, below the headings of the notebook."""
        if not self.target:
            return ""
        card = fetch_card(self.client, self.target.run_id) if self.target.run_id else None
        return re.sub(r"(?m)^#", "###", card) if card else "The run of this version has recorded no model card."

    def build(self) -> str:
        """Build or find the image, or write the build context; return a sentence about it."""
        if self.target and self.settings.output == "context":
            context = write_output(self.target, self.settings) / "context"
            command = format_code(f"docker build {shlex.quote(str(context))}")
            return f"The build context is {format_code(str(context))}. Build the image with {command}."
        if self.target and self.settings.output == "image":
            self.image = make_image(self.target, self.run, self.settings)
            return f"`{self.image.reference}`, {self.image.size_mb:,.0f} MB, ready after {self.image.build_s:.0f} s."
        return "No image is built."

    def verify(self) -> Table:
        """Start a server, check its answers, measure its speed and stop it; record and return the checks."""
        target = self.target
        if target and self.settings.output != "context":
            model = load_version(self.client, target.model, target.version, trust_code=self.settings.trust_code)
            holdout = fetch_holdout(self.client, target.run_id) if is_ours(target.folder) else None
            case = make_parity_case(model, target.folder, holdout) if holdout else make_example_case(model, target.folder)
            process = partial(run_process, target.folder, trust_code=self.settings.trust_code)
            with serve_image(target, self.image) if self.image else process() as service:
                self.report = verify(service, case)
            sizes = {"image_mb": self.image.size_mb, "build_s": self.image.build_s} if self.image else {}
            self.run.log_metrics(self.report.metrics | sizes)
            self.run.log_text(json.dumps([vars(check) for check in self.report.checks], indent=1), "verification/checks.json")
        return tabulate_checks(self.report)

    def plot_latency(self) -> Picture | None:
        """Record and return the plot of the load tests, if there were any."""
        return self.run.log_figure(plot_latency(self.report), "latency") if self.report else None

    def release(self) -> str:
        """Release the image, keep it running if wanted, and return a sentence about it.

        Raises
        ------
        DeploymentError
            If a check failed, or the Docker registry refuses the image.
        """
        if not self.target or not self.report:
            return NOTHING_RELEASED
        if not self.image:
            self.report.raise_if_failed()
            return NOTHING_RELEASED
        push = bool(self.settings.push_to)
        self.released = release_image(self.target, self.image, self.report, run=self.run, client=self.client, push=push)
        service = keep_running(self.target, self.settings) if self.settings.keep else None
        return describe_release(self.released, service, self.target)

    def tabulate(self) -> Table:
        """Return the figures of the deployment."""
        rows: dict[str, str] = {}
        if self.report:
            rows = {"checks passed": self.report.passed, "start (s)": f"{self.report.start_s:.1f}"}
        if self.image:
            rows["size (MB)"] = f"{self.image.size_mb:,.0f}"
        for clients, load in self.report.loads.items() if self.report else ():
            who = _name_clients(clients)
            rows[f"p50, p99 for {who} (ms)"] = f"{load.percentile_ms(0.5):.1f}, {load.percentile_ms(0.99):.1f}"
            rows[f"throughput for {who} (requests/s)"] = f"{load.per_second:,.0f}"
        return Table("Figures of the deployment", ["figure", "value"], list(rows.items()))

    def summarize(self) -> str:
        """Sum up the deployment in one or two sentences."""
        if not self.target:
            return "No model is named. Choose one of the registered models above: -p model NAME."
        name = format_code(self.target.model)
        if not self.report:
            return f"Version {self.target.version} of {name} is written as a build context with its manifests."
        place = f"released as `{self.released}`" if self.released else f"served by a {self.settings.output}"
        loads = self.report.loads
        clients, p99_ms = max(loads), loads[min(loads)].percentile_ms(0.99)
        return (
            f"Version {self.target.version} of {name} passed {self.report.passed} checks, p99 {p99_ms:.1f} ms "
            f"for 1 client, {loads[clients].per_second:,.0f} requests/s for {clients} clients, and is {place}. "
            "Next: the run's artifacts in MLflow's UI; `manifests/` has the files to run the image elsewhere."
        )


def tabulate_checks(report: VerificationReport | None) -> Table:
    """Return the checks as a table."""
    checks = report.checks if report else []
    rows = [(check.name, "skipped" if check.skipped else "passed" if check.passed else "FAILED", check.found) for check in checks]
    return Table("Checks of the answers", ["check", "result", "found"], rows)


def plot_latency(report: VerificationReport, *, axes: Axes | None = None) -> Figure:
    """Draw the share of requests that were answered within a time, for each number of clients, with p50 and p99."""
    axes = axes or make_axes(3.6)
    for colour, (clients, load) in zip(COLOURS, report.loads.items(), strict=False):
        ordered = np.sort(load.latencies_s) * 1000
        p50, p99 = np.quantile(ordered, [0.5, 0.99])
        label = f"{_name_clients(clients)}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered), color=colour, label=label)
        axes.plot([p50, p99], [0.5, 0.99], "o", color=colour)
    every = [latency * 1000 for load in report.loads.values() for latency in load.latencies_s]
    scale_log(axes, min(every), max(every))
    axes.set_ylim(0, 1.02)
    return finish_axes(axes, "Latency of one row", x="time to the answer (ms)", y="share of requests")


def describe_release(released: str, service: Service | None, target: Target) -> str:
    """Say what is released and, if it runs, how to call it: with the first row of the model's example."""
    text = f"Released as `{released}`."
    if not service:
        return text
    example = (target.folder / "serving_input_example.json").read_text(encoding="utf-8")
    split = json.loads(example.replace('"NaT"', "null"), parse_constant=lambda _: None)["dataframe_split"]
    body = json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"][:1]}}).replace("'", "'\\''")
    call = f"curl -H 'Content-Type: application/json' -d '{body}' {service.address}/invocations"
    remove = f"docker rm -f -v {service.name} {service.name}{HOLDER_SUFFIX}"
    return f"{text} It runs as `{service.name}` until `{remove}`:\n```\n{call}\n```"


def _name_clients(count: int) -> str:
    return f"{count} client{'s' if count > 1 else ''}"
