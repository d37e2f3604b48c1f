"""A run as a notebook sees it: attach to it, record into it, finish it.

What a notebook records goes into the run's journal. The run's owner sends it to the store: the engine in a headless execution
(:mod:`boostlab.execution.headless`), this kernel in JupyterLab (:mod:`boostlab.tracking.interactive`).
"""

from __future__ import annotations

import getpass
import io
import os
import re
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError, StoreError
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import to_text
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.notebook.settings import Settings
from boostlab.redaction import find_secrets, redact_parameters
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Entry, Journal
from boostlab.tracking.store import Store, find_project, find_store, open_store
from boostlab.tracking.ui import find_ui

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from IPython.display import Image
    from matplotlib.figure import Figure

    from boostlab.models.predictor import Predictor
    from boostlab.tracking.interactive import Exploration

METRIC_NAME = re.compile(r"[\w\-. :/]{1,250}")
RECEIPT_TIMEOUT_S = 300.0
DPI = 144
DISPLAY_SCALE = 0.5  # pictures are drawn at twice the size at which they are shown, for sharp screens


def describe_run(
    values: Mapping[str, Any], *, store: Store, notebook: str | None, origin: str, output_path: str | None = None
) -> RunFacts:
    """Return the facts of a run that begins now.

    Parameters
    ----------
    values : mapping
        The notebook's parameters as resolved; secrets among them are masked here.
    notebook : str or None
        The notebook's path or address.
    origin : str
        ``papermill`` or ``jupyter``.
    """
    name = name_notebook(notebook)
    run_name = values.get("run_name") or f"{name}-{os.urandom(4).hex()}"
    source = str(Path(notebook).resolve()) if notebook and Path(notebook).is_file() else str(notebook or name)
    tags = {
        "mlflow.user": _find_user(),
        "mlflow.source.name": source,
        "mlflow.source.type": "NOTEBOOK",
        "boostlab.notebook": name,
        "boostlab.origin": origin,
        "boostlab.host": socket.gethostname(),
        "boostlab.pid": str(os.getpid()),
    }
    return RunFacts(
        store=store.shown,
        ui=find_ui(store),
        experiment=values.get("experiment") or name,
        run_name=run_name,
        notebook=name,
        output_path=output_path,
        start_time=int(time.time() * 1000),
        tags=tags | _git_tags(source),
        params={key: to_text(value) for key, value in redact_parameters(values).items()},
    )


def start_run(settings: Settings) -> Run:
    """Attach to the run that the engine made for this notebook, or begin one where there is no engine.

    Parameters
    ----------
    settings : Settings
        The notebook's checked parameters. They become the run's parameters.

    Raises
    ------
    StoreError
        If there is no engine and the tracking store cannot be opened.
    """
    given = os.environ.get(JOURNAL_VARIABLE)
    return Run(Journal(Path(given))) if given else _begin_exploration(settings.model_dump())


class Run:
    """A run that is being recorded.

    Each ``log_`` method notes what it is given in the run's journal; nothing of it is lost if the store is.

    Parameters
    ----------
    journal : Journal
        The run's journal.
    exploration : Exploration, optional
        Given where this process owns the run.

    Attributes
    ----------
    facts : RunFacts
        What is known of the run, such as its id and its name.
    """

    def __init__(self, journal: Journal, *, exploration: Exploration | None = None) -> None:
        self._journal, self._exploration = journal, exploration
        self.facts = journal.facts()

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record the run's results, each a number."""
        self._log_points([(name, value, 0) for name, value in metrics.items()], final=True)

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Record metrics that have a value per round; the round, counted from 0, becomes the step."""
        points = [(name, value, step) for name, values in curves.items() for step, value in enumerate(values)]
        self._log_points(points, final=False)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Record tags."""
        self._add("tags", tags)

    def log_dataset(self, dataset: Mapping[str, str]) -> None:
        """Record which data was used.

        Parameters
        ----------
        dataset : mapping
            ``name``, ``digest``, ``source_type``, ``source``, ``schema`` and ``profile``, as MLflow's Dataset has them.
        """
        self._add("dataset", {**dataset, "context": "training"})

    def log_figure(self, figure: Figure, name: str) -> Image:
        """Record a figure as ``plots/<name>.png`` and return it for display: one picture in the notebook and the run."""
        from IPython.display import Image

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        with tempfile.TemporaryDirectory() as temporary:
            files = Path(temporary) / "files"
            (files / "plots").mkdir(parents=True)
            (files / "plots" / f"{name}.png").write_bytes(buffer.getvalue())
            self._add("files", {}, files)
        width = int.from_bytes(buffer.getvalue()[16:20], "big")  # a PNG's header states its width there
        title = "; ".join(axes.get_title() for axes in figure.axes if axes.get_title())
        return Image(buffer.getvalue(), format="png", width=round(width * DISPLAY_SCALE), alt=title)

    def log_text(self, text: str, path: str) -> None:
        """Record a text as the file at `path` among the run's artifacts."""
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "files" / path
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
            self._add("files", {}, Path(temporary) / "files")

    def log_table(self, table: pa.Table, path: str) -> None:
        """Record a table as the Parquet file at `path` among the run's artifacts."""
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "files" / path
            file.parent.mkdir(parents=True)
            pq.write_table(table, file, compression="zstd")
            self._add("files", {}, Path(temporary) / "files")

    def log_model(self, predictor: Predictor, example: pd.DataFrame, *, register_as: str = "") -> dict[str, Any]:
        """Record a model as an MLflow Model, and register it if a name is given.

        Parameters
        ----------
        example : DataFrame
            Rows as a user would send them; the first few become the model's input example.
        register_as : str
            Name of the registered model that gets a new version; empty: none.

        Returns
        -------
        dict
            ``model_uri``, ``model_id`` and, if registered, ``version``; empty where the store is lost for now.

        Raises
        ------
        StoreError
            If the store refuses the model or its name.
        """
        from boostlab.models.packaging import write_model

        with tempfile.TemporaryDirectory() as temporary:
            files = Path(temporary) / "files"
            write_model(predictor, example, files)
            entry = self._add("model", {"name": "model", "register_as": register_as}, files)
        return self._receipt(entry) or {}

    def finish(self) -> None:
        """End the run: the notebook ran to its last cell.

        This waits until the store has everything. Headless the engine ends the run when the kernel is gone; in JupyterLab
        it ends when the cell that calls this is through.

        Raises
        ------
        StoreError
            If the store refused something that was recorded.
        """
        for entry in self._journal.entries():
            self._receipt(entry)
        if self._exploration is not None:
            self._exploration.finish()

    def _log_points(self, points: list[tuple[str, float, int]], *, final: bool) -> None:
        now = int(time.time() * 1000)
        for name, value, _ in points:
            if not METRIC_NAME.fullmatch(name):
                raise LabError(f"A metric cannot be called {name!r}. Allowed: letters, digits and _ - . space : /")
            if not isinstance(value, int | float):
                raise LabError(f"The metric {name!r} is {value!r}. A metric is a number.")
        self._add("metrics", {"points": [(name, float(value), now, step) for name, value, step in points], "final": final})

    def _add(self, kind: str, facts: Mapping[str, Any], files: Path | None = None) -> Entry:
        if self._exploration is not None and self._exploration.ended:
            raise LabError("This run has ended. Run the notebook from the top to begin another.")
        return self._journal.add(kind, facts, files)

    def _receipt(self, entry: Entry) -> dict[str, Any] | None:
        receipt = self._journal.wait(entry, RECEIPT_TIMEOUT_S)
        if receipt and "refused" in receipt:
            raise StoreError(f"The tracking store refuses this {entry.type}: {receipt['refused']}")
        return receipt


def _begin_exploration(values: Mapping[str, Any]) -> Run:
    """Make a run that this kernel owns, after ending the one that it had left open."""
    from boostlab.notebook import session as frontend
    from boostlab.signals import sigint_noted
    from boostlab.tracking import environment, recovery
    from boostlab.tracking.interactive import Exploration
    from boostlab.tracking.owner import Owner

    if Exploration.current is not None:
        Exploration.current.leave()
    environment.restore()  # an empty tracking_uri means the user's default, not the store of the run before
    notebook = frontend.find_session().notebook
    store = open_store(find_store(values.get("tracking_uri", ""), project=find_project(notebook)))
    recovery.complete_orphans(store)
    source = str(notebook) if notebook else None
    facts = describe_run(values, store=store, notebook=source, origin="jupyter", output_path=source)
    owner = Owner(facts, store, secrets=find_secrets({**values, "store": store.uri}))
    with sigint_noted() as asked:  # a run that was made must have somebody who ends it
        owner.begin()
        run = Run(owner.journal, exploration=Exploration(owner))
    if asked.is_set():
        raise KeyboardInterrupt
    return run


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


def _git_tags(source: str) -> dict[str, str]:
    """Return the git commit that the notebook stands on, or nothing where there is none."""
    import subprocess

    folder = Path(source).parent
    command = ["git", "-C", str(folder if folder.is_dir() else Path.cwd()), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"mlflow.source.git.commit": done.stdout.strip()} if done.returncode == 0 else {}
