"""The steps of ``deploy.ipynb``, carried by one object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from boostlab.deployment import summary
from boostlab.deployment.parity import make_parity_case
from boostlab.deployment.plots import plot_latency
from boostlab.deployment.release import Image, keep_running, make_image, release_image, serve_image
from boostlab.deployment.service import run_process
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Target, choose_target, write_output
from boostlab.deployment.verification import VerificationReport, verify
from boostlab.models.loading import load_version
from boostlab.registry.tables import tabulate_models
from boostlab.tracking.run import Run
from boostlab.tracking.store import open_current
from boostlab.training.holdout import fetch_holdout

if TYPE_CHECKING:
    import IPython.display
    import pandas as pd

    from boostlab.display.tables import Table

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

    def show_target(self) -> pd.DataFrame | Table:
        """Return the target version as a table; without a model, the registered models."""
        return summary.tabulate_target(self.target) if self.target else tabulate_models(self.client)

    def build(self) -> str:
        """Build or find the image, or write the build context; return a sentence about it."""
        if self.target and self.settings.output == "context":
            context = write_output(self.target, self.settings) / "context"
            return f"The build context is `{context}`. Build the image with `docker build {context}`."
        if self.target and self.settings.output == "image":
            self.image = make_image(self.target, self.run, self.settings)
            return f"`{self.image.reference}`, {self.image.size_mb:,.0f} MB, ready after {self.image.build_s:.0f} s."
        return "No image is built."

    def verify(self) -> pd.DataFrame:
        """Start a server, check its answers, measure its speed and stop it; record and return the checks."""
        target = self.target
        if target and self.settings.output != "context":
            model = load_version(self.client, target.model, target.version)
            case = make_parity_case(model, target.folder, fetch_holdout(self.client, target.run_id))
            with serve_image(target, self.image) if self.image else run_process(target.folder) as service:
                self.report = verify(service, case)
            sizes = {"image_mb": self.image.size_mb, "build_s": self.image.build_s} if self.image else {}
            self.run.log_metrics(self.report.metrics | sizes)
            self.run.log_text(json.dumps([vars(check) for check in self.report.checks], indent=1), "verification/checks.json")
        return summary.tabulate_checks(self.report)

    def plot_latency(self) -> IPython.display.Image | None:
        """Record and return the plot of the load tests, if there were any."""
        return self.run.log_figure(plot_latency(self.report.latencies_ms), "latency") if self.report else None

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
        return summary.describe_release(self.released, service, self.target)

    def tabulate(self) -> pd.DataFrame:
        """Return the figures of the deployment."""
        return summary.tabulate_figures(self.image, self.report)

    def summarize(self) -> str:
        """Sum up the deployment in one or two sentences."""
        if not self.target:
            return "No model is named. Choose one of the registered models above: -p model NAME."
        if not self.report:
            return f"Version {self.target.version} of {self.target.model} is written as a build context with its manifests."
        place = f"released as `{self.released}`" if self.released else f"served by a {self.settings.output}"
        return summary.describe_result(self.target, self.report, place)
