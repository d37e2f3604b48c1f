"""A run as a notebook sees it: record into it, finish it.

Each record goes into the run's journal, without secrets. The run's courier sends it to the store. The run's owner ends it:
papermill's process in a headless execution (:mod:`boostlab.execution.headless`), the kernel in JupyterLab
(:mod:`boostlab.tracking.interactive`).
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from boostlab.display.markdown import format_code
from boostlab.display.numbers import format_number
from boostlab.errors import LabError, StoreError, TrialPruned
from boostlab.redaction import environment_secrets, redact
from boostlab.tracking import reports
from boostlab.tracking.entries import Entry
from boostlab.tracking.evidence import Evidence, read_evidence
from boostlab.tracking.facts import FINDINGS_TAG, PRUNED_TAG, REPORTS_TAG
from boostlab.tracking.journal import Journal
from boostlab.tracking.summary import describe_findings, list_next_steps, tabulate_run
from boostlab.tracking.values import thin_reports, to_number, to_tag

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from IPython.display import Markdown
    from matplotlib.figure import Figure

    from boostlab.display.pictures import Picture
    from boostlab.models.predictor import Predictor
    from boostlab.tracking.interactive import InteractiveRun

METRIC_NAME = re.compile(r"[\w\-. :/]{1,250}")


class Run:
    """A run in progress; :func:`boostlab.start_run` returns it.

    Each ``log_`` method writes into the run's journal, so that a lost store loses no record.

    Attributes
    ----------
    facts : RunFacts
        The run's id, name, experiment and more.
    findings : list of str
        What makes the results doubtful, as far as recorded.
    """

    def __init__(
        self, journal: Journal, *, interactive: InteractiveRun | None = None, secrets: frozenset[str] = frozenset()
    ) -> None:
        self._journal, self._interactive = journal, interactive
        self._secrets = secrets | environment_secrets()
        self._is_recording = True
        self.facts = journal.facts()
        self.findings: list[str] = []
        self._reports: dict[int, float] = {}

    @property
    def has_ended(self) -> bool:
        """Whether the run takes no more records; a headless run ends after its kernel."""
        return self._interactive is not None and self._interactive.ended

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Record nothing in this context: for what is shown again after the run has ended."""
        self._is_recording = False
        try:
            yield
        finally:
            self._is_recording = True

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record final results, each a number."""
        self._log_points([(name, value, 0) for name, value in metrics.items()], final=True)

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Record metrics with one value per round; the round, counted from 0, becomes the step."""
        points = [(name, value, step) for name, values in curves.items() for step, value in enumerate(values)]
        self._log_points(points, final=False)

    def log_tags(self, tags: Mapping[str, str | list[str] | dict[str, Any]]) -> None:
        """Record tags. A list or a mapping becomes JSON, with as many items as a tag can hold."""
        self._add("tags", {name: value if isinstance(value, str) else to_tag(value) for name, value in tags.items()})

    def report(self, metric: str, value: float, *, step: int) -> None:
        """Report a metric of a running trial to its sweep; outside of a sweep, or if it asks for another metric, nothing happens.

        Parameters
        ----------
        step : int
            Such as a round or a fold; each one after the last.

        Raises
        ------
        TrialPruned
            If the sweep ends the trial here. Nothing should catch it.
        """
        answer = reports.send(metric, value, step=step)
        if answer is None:
            return
        self._reports[step] = value
        self.log_tags({REPORTS_TAG: thin_reports(self._reports)})
        if answer == "prune":
            self.log_tags({PRUNED_TAG: str(step)})
            raise TrialPruned(f"Pruned at step {step}: {metric} = {format_number(value)}.")

    def log_findings(self, findings: Iterable[str]) -> Markdown:
        """Record sentences on what makes the run's results doubtful, and return them for display.

        All findings of the run are in the tag ``boostlab.findings``, as a JSON list, and in the artifact ``findings.json``.
        """
        from IPython.display import Markdown

        new = list(findings)
        if new:
            self.findings = list(dict.fromkeys([*self.findings, *new]))
            self.log_tags({FINDINGS_TAG: self.findings})
            self.log_text(json.dumps(self.findings, indent=1), "findings.json")
        return Markdown(describe_findings(new))

    def describe_findings(self) -> str:
        """Return all findings so far as a Markdown list."""
        return describe_findings(self.findings)

    def log_dataset(self, dataset: Mapping[str, str]) -> None:
        """Record the data set; the keys are the fields of :class:`mlflow.entities.Dataset`."""
        self._add("dataset", {**dataset, "context": "training"})

    @overload
    def log_figure(self, figure: Figure, name: str) -> Picture: ...
    @overload
    def log_figure(self, figure: None, name: str) -> None: ...
    def log_figure(self, figure: Figure | None, name: str) -> Picture | None:
        """Record a figure as ``plots/<name>.png``, and return it for display in the colours of the page; without one, None."""
        if figure is None:
            return None
        from boostlab.display.pictures import draw_picture  # loads matplotlib

        picture = draw_picture(figure)
        self._log_file(f"plots/{name}.png", lambda file: file.write_bytes(picture.png))
        return picture

    def log_text(self, text: str, path: str) -> None:
        """Record a text as the file `path` among the run's artifacts."""
        self._log_file(path, lambda file: file.write_text(redact(text, self._secrets), encoding="utf-8"))

    def log_table(self, table: pa.Table, path: str) -> None:
        """Record a table as the Parquet file `path` among the run's artifacts."""
        import pyarrow.parquet as pq

        self._log_file(path, lambda file: pq.write_table(table, file, compression="zstd"))

    def log_model(self, predictor: Predictor, example: pd.DataFrame, *, register_as: str = "") -> dict[str, Any]:
        """Record a model as an MLflow Model, and register it under a name if one is given.

        Parameters
        ----------
        example : DataFrame
            Raw rows; the first few become the model's input example.
        register_as : str
            Name of the registered model that gets a new version; empty: do not register.

        Returns
        -------
        dict
            ``model_uri``, ``model_id`` and, if registered, ``version``; empty if the store is lost.

        Raises
        ------
        StoreError
            If the store refuses the model or its name.
        """
        from boostlab.models.packaging import write_model

        with self._make_folder() as temporary:
            files = Path(temporary) / "files"
            write_model(predictor, example, files)
            entry = self._add("model", {"name": "model", "register_as": register_as}, files)
        receipt = (entry and self._journal.wait(entry)) or {}
        if entry and "refused" in receipt:
            self._journal.add_receipt(entry, {**receipt, "is_raised": True})
        _raise_refusal(receipt)
        return receipt

    def find_rivals(self, *, tag: str, prefix: str, is_higher: bool, file: str, model: str = "") -> dict[str, Any]:
        """Return the rank of this run among the finished runs on its rows, and the champion.

        See :func:`boostlab.tracking.rivals.find_rivals`. Empty if the store is lost or cannot tell.
        """
        entry = self._add("rivals", {"tag": tag, "prefix": prefix, "is_higher": is_higher, "file": file, "model": model})
        return (entry and self._journal.wait(entry)) or {}

    def read_evidence(self) -> Evidence:
        """Return what the run has recorded so far."""
        return read_evidence(self._journal)

    def describe(self, model: Mapping[str, Any], register_as: str) -> str:
        """Return a Markdown table with links to the run, its experiment and its model: see :meth:`log_model`."""
        return tabulate_run(self.facts, model, register_as)

    def list_next_steps(self, register_as: str, suggestion: str = "") -> str:
        """Return as a Markdown list what the run's user may do next; `suggestion` is the values to try, in Markdown."""
        return list_next_steps(self.facts, register_as, suggestion)

    def _ipython_display_(self) -> None:
        """Show nothing in the cell that began the run: it has shown the run. Elsewhere, IPython shows it as usual."""
        if self._interactive is None or not self._interactive.is_beginning:
            raise NotImplementedError  # to IPython: use the other forms

    def _repr_markdown_(self) -> str:
        return f"Run {format_code(self.facts.run_name)} in experiment {format_code(self.facts.experiment)}"

    def finish(self) -> None:
        """Wait until the store has every record, and let the run end FINISHED.

        A headless run ends when its kernel has ended, an interactive run when the cell that calls this has ended.

        Raises
        ------
        StoreError
            If the store refused a record.
        """
        for entry in self._journal.entries(self._journal.cursor.sent):
            if self._journal.wait(entry) is None:
                break  # the store is lost: the journal keeps the rest
        for receipt in self._journal.receipts().values():
            _raise_refusal(receipt)
        if self._interactive is not None:
            self._interactive.finish()

    def _log_file(self, path: str, write: Callable[[Path], object]) -> None:
        if not self._is_recording:
            return
        with self._make_folder() as temporary:
            files = Path(temporary) / "files"
            (files / path).parent.mkdir(parents=True)
            write(files / path)
            self._add("files", {}, files)

    @property
    def folder(self) -> Path:
        """The journal's folder. What a notebook keeps there goes when the run has ended, also if its process is killed."""
        return self._journal.path

    @contextmanager
    def _make_folder(self) -> Iterator[str]:
        """Make a folder inside the journal, which goes with the journal if this process is killed."""
        try:
            with tempfile.TemporaryDirectory(prefix=".", dir=self._journal.path) as folder:
                yield folder
        except OSError as error:
            raise LabError(f"The journal {self._journal.path} cannot be written: {error.strerror or error}.") from None

    def _log_points(self, points: list[tuple[str, float, int]], *, final: bool) -> None:
        now = int(time.time() * 1000)
        for name, *_ in points:
            if not METRIC_NAME.fullmatch(name):
                raise LabError(f"A metric cannot have the name {name!r}. Allowed: letters, digits and _ - . space : /")
        numbers = [(name, to_number(name, value), now, step) for name, value, step in points]
        if numbers:
            self._add("metrics", {"points": numbers, "final": final})

    def _add(self, entry_type: str, facts: Mapping[str, Any], files: Path | None = None) -> Entry | None:
        if not self._is_recording:
            return None
        if self.has_ended:
            raise LabError("This run has ended. Run the notebook from the top to begin another.")
        return self._journal.add(entry_type, redact(dict(facts), self._secrets), files)


def _raise_refusal(receipt: Mapping[str, Any]) -> None:
    if "refused" in receipt:
        raise StoreError(receipt["refused"], kind="refused")
