"""One headless run that the form started, as a row: state, link, step, score, values, a bar, a stop button and the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

import ipywidgets

from boostlab.comparison.selection import BEST_VALID
from boostlab.display.numbers import format_number
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.execution import jobs
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import to_text
from boostlab.redaction import redact_parameters
from boostlab.tracking.facts import SPLIT_TAG
from boostlab.tracking.store import Store
from boostlab.tracking.ui import MlflowUI, find_ui

POLL_S = 0.5
LOG_LINES = 15
MARKS = {"starting": "…", "running": "▶", "finished": "✓", "failed": "✗", "stopped": "■"}
RUNNING = ("starting", "running")
TEXT = "line-height: 1.4; overflow-wrap: anywhere; white-space: pre-line; color: var(--jp-ui-font-color1)"
LOG = f"{TEXT}; white-space: pre-wrap; font-family: var(--jp-code-font-family, monospace); font-size: 12px"
HIDDEN = {"display": "none"}


class JobRow:
    """One headless run among the `rows` of a form.

    Parts that change at different times are widgets of their own, so that a link keeps the focus while the run goes on.
    """

    def __init__(self, job: jobs.Job, rows: Sequence[JobRow]) -> None:
        self.job, self._rows = job, rows
        self._ui: MlflowUI | None = None
        self.bar, self.title, self.text, self.log = (ipywidgets.HTML(layout={"height": "auto"}) for _ in range(4))
        self.bar.layout.flex, self.bar.layout.min_width = "1 1 12em", "0"
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop", layout={"width": "auto", "flex": "0 0 auto"})
        self.stop_button.on_click(lambda _: job.stop())
        self.log_button = ipywidgets.Button(description="Show log", layout={"width": "auto", "flex": "0 0 auto"})
        self.log_button.on_click(lambda _: self._toggle_log())
        self.log.layout = ipywidgets.Layout(**HIDDEN)
        head = ipywidgets.HBox(
            [self.bar, self.stop_button, self.log_button], layout={"align_items": "center", "overflow": "visible"}
        )
        parts = [head, self.title, self.text, self.log]
        self.widget = ipywidgets.VBox(parts, layout={"overflow": "visible", "margin": "8px 0 0", "padding": "4px 0"})
        self.widget.add_class("boostlab-job")

    def follow(self) -> None:
        """Show the progress of the run until it ends, then compare its score with those of the other rows."""
        while self.show() in RUNNING:
            time.sleep(POLL_S)
        for row in self._rows:
            row.show()

    def show(self) -> jobs.State:
        """Show the run as it is now."""
        state, progress = self.job.state, self.job.progress
        name = progress.run.run_name if progress.run else name_notebook(self.job.notebook)
        share = 1.0 if state == "finished" else progress.share
        self.bar.value = _draw_bar(name, share if state in RUNNING else share or 0.0)
        self.title.value = f'<div style="{TEXT}">{MARKS[state]} {self._link(name, progress)} <b>{state}</b></div>'
        facts = [progress.describe() if state in RUNNING else self.job.message or self._judge(progress)]
        lines = [" · ".join([*filter(None, facts), _format_duration(self.job.duration_s)]), self._describe_values()]
        self.text.value = f'<div style="{TEXT}">{escape(chr(10).join(lines))}</div>'
        self._show_log()
        if state not in RUNNING:
            self.stop_button.layout.display = "none"
        return state

    @property
    def score(self) -> tuple[str, float] | None:
        """Name and value of the validation metric of the run's model, once the run has finished."""
        if self.job.state != "finished":
            return None
        return next((item for item in self.job.progress.metrics.items() if item[0].startswith(BEST_VALID)), None)

    def _judge(self, progress: jobs.Status) -> str:
        """Return the score, and how it compares with the best finished run of the form on the same rows."""
        score = self.score
        if score is None:
            return ""
        (metric, value), split = score, progress.tags.get(SPLIT_TAG)
        same = [
            row for row in self._rows if row.score and row.score[0] == metric and row.job.progress.tags.get(SPLIT_TAG) == split
        ]
        said = f"valid {metric.removeprefix(BEST_VALID)} {format_number(value)}"
        if not split or len(same) < 2:
            return said
        values = [row.score[1] for row in same if row.score]
        best = (max if is_higher_better(metric) else min)(values)
        return (
            f"{said}, the best of {len(same)}"
            if value == best
            else f"{said}, {value - best:+.3g} against the best of {len(same)}"
        )

    def _describe_values(self) -> str:
        values = redact_parameters(self.job.parameters)
        return ", ".join(f"{name} = {to_text(value)}" for name, value in values.items()) or "the notebook's defaults"

    def _link(self, name: str, progress: jobs.Status) -> str:
        if not progress.run:
            return escape(name)
        self._ui = self._ui or find_ui(Store(progress.run.store))
        address = escape(self._ui.run_url(progress.run.experiment_id, progress.run.run_id))
        return f'<a href="{address}" target="_blank" rel="noopener" style="text-decoration: underline">{escape(name)}</a>'

    def _toggle_log(self) -> None:
        is_shown = self.log.layout.display != "none"
        self.log.layout.display = "none" if is_shown else ""
        self.log_button.description = "Show log" if is_shown else "Hide log"
        self._show_log()

    def _show_log(self) -> None:
        if self.log.layout.display != "none":
            self.log.value = f'<div style="{LOG}">{escape(chr(10).join(self.job.log[-LOG_LINES:]) or "nothing yet")}</div>'


def _draw_bar(name: str, share: float | None) -> str:
    """Return a progress bar; without a share it moves without an end."""
    value = "" if share is None else f'value="{share:.3f}"'
    return f'<progress aria-label="progress of {escape(name)}" max="1" {value} style="width: 100%"></progress>'


def _format_duration(seconds: float) -> str:
    """Return a duration as people say it.

    Examples
    --------
    >>> _format_duration(7.4), _format_duration(3725)
    ('7 s', '62 min 5 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
