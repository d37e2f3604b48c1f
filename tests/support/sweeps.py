"""Sweeps to test with: a tiny notebook, its space, and ``sweep.ipynb`` without its figures, as a command that can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import nbformat
import psutil
import pytest
import yaml
from tests.support.executions import run_here
from tests.support.paths import PAPERMILL, PROJECT
from tests.support.stores import all_runs, artifacts
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.sweep import records

PARAMETERS = """\
x: float = 0.5  # a number
y: int = 3  # a number
seed: int = 0  # of chance
fails_above: float = 2.0  # it fails if x is larger
pause_s: float = 0.0  # how long it takes
register_as: str = "homes"  # registered model; a trial registers none
experiment: str = "tiny"  # experiment
run_name: str = ""  # name
tracking_uri: str = ""  # store
"""
START = """\
import time
from boostlab.notebook.settings import Tracked
from boostlab.tracking import start_run
run = start_run(Tracked.check(globals()))
assert not register_as
time.sleep(pause_s)
if x > fails_above:
    raise RuntimeError(f"{x} is too large")
"""
MEASURE = "run.log_metrics({'loss': (x - 0.3) ** 2 + y, 'size': x, 'test_loss': x})"
REPORT = "for step in range(1, 9):\n    run.report('loss', (x - 0.3) ** 2 + y + 1 / step, step=step)"
SPACE = "x: {low: 0.0, high: 1.0}\ny: {low: 1, high: 9}\n"
TINY = {"notebook": "tiny.ipynb", "space": "space.yaml", "metric": ["loss"], "direction": ["lower"]}
TRAININGS = {  # of the project's own notebook
    "notebook": str(PROJECT / "notebooks" / "train.ipynb"),
    "space": "trees.yaml",
    "metric": ["best_valid_rmse"],
    "direction": ["lower"],
}
TREES = "eta: {low: 0.03, high: 0.5, log: true}\nmax_depth: {low: 2, high: 6}\nsubsample: {low: 0.5, high: 1.0}\n"
LEFT_OUT = ("plot_", "results.")  # cells of sweep.ipynb that the tests of its trials do without
MARK = "BOOSTLAB_TEST_SWEEP"


class Sweeps:
    """Sweeps in a folder: each command's processes are marked by a variable, and have a folder for temporary files."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store, self.mark = folder, store, uuid.uuid4().hex
        self.temporary = Path(tempfile.mkdtemp(prefix="s-", dir="/tmp"))  # short, for sockets
        self.env = os.environ | {MARK: self.mark, "TMPDIR": str(self.temporary), "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "1h"}
        sweep = nbformat.read(PROJECT / "notebooks" / "sweep.ipynb", as_version=4)
        sweep.cells = [cell for cell in sweep.cells if not any(part in cell.source for part in LEFT_OUT)]
        nbformat.write(sweep, folder / "sweep.ipynb")
        (folder / "space.yaml").write_text(SPACE)
        self.write_tiny(START, MEASURE)

    def write_tiny(self, *cells: str) -> None:
        """Write the notebook of the trials."""
        first = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook.metadata.language_info = {"name": "python"}
        notebook.metadata.boostlab = {}
        nbformat.write(notebook, self.folder / "tiny.ipynb")

    def prepare_trainings(self) -> dict[str, Any]:
        """Write a table with columns of text, and return the parameters of a sweep over trainings on it."""
        random = Random(0)
        rows = ["city,kind,built,area,price"]
        for _ in range(300):
            city, kind = random.choice(("Zürich", "Genève", "Bern", "")), random.choice(("house", "flat", "loft, with garden"))
            area = random.uniform(20, 200)
            price = area * {"Zürich": 9, "Genève": 8}.get(city, 5) + 50 * (kind == "house") + random.gauss(0, 40)
            rows.append(f'{city},"{kind}",{random.randint(1900, 2020)},{area:.1f},{price:.0f}')
        (self.folder / "homes.csv").write_text("\n".join(rows))
        (self.folder / "trees.yaml").write_text(TREES)
        fixed = {"dataset": str(self.folder / "homes.csv"), "target": "price", "num_boost_round": 50}
        return {**TRAININGS, "fixed": fixed}

    def start(self, **values: Any) -> subprocess.Popen[str]:
        """Start a sweep with these parameters."""
        command = [PAPERMILL, "--no-progress-bar", "sweep.ipynb", "out.ipynb", "-y", self._give(values)]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def start_until(self, count: int, client: Any, **values: Any) -> subprocess.Popen[str]:
        """Start a sweep, and return its process once the store has so many trials that count."""
        process = self.start(**values)
        wait_until(lambda: process.poll() is not None or len(finished(client)) >= count)
        assert process.poll() is None, process.communicate()[1]
        return process

    def run(self, *, code: int = 0, **values: Any) -> str:
        """Run a sweep to its end, and return what it printed."""
        process = self.start(**values)
        printed = process.communicate(timeout=TIMEOUT_S)[1]
        assert process.returncode == code, printed
        return printed

    def execute(self, *, code: int = 0, **values: Any) -> str:
        """Run a sweep as `run` does, in this process: packages are loaded once for all such sweeps."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            done = run_here("sweep.ipynb", "out.ipynb", "-y", self._give(values))
        printed = done.stdout + done.stderr
        assert done.returncode == code, printed
        return printed

    def _give(self, values: dict[str, Any]) -> str:
        return yaml.safe_dump({**TINY, "n_jobs": 2, "tracking_uri": self.store, **values})

    def output(self) -> str:
        """Return the text of the outputs of the last sweep's notebook."""
        notebook = nbformat.read(self.folder / "out.ipynb", as_version=4)
        found = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        texts = [str(output.get("data", {}).get("text/markdown", output.get("text", ""))) for output in found]
        return "\n".join(texts).replace("\\", "")  # of Markdown

    def processes(self) -> list[psutil.Process]:
        """Return the processes of all sweeps that run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill all processes of all sweeps at once."""
        while found := self.processes():
            for process in found:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGSTOP)  # none of them sees another's end
            for process in found:
                with suppress(psutil.Error):
                    process.kill()

    def wait_for_nothing(self) -> None:
        """Wait until no process and no temporary file of the sweeps is left."""
        wait_until(lambda: not self.processes(), 60)
        files = [str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*")]
        left = [file for file in files if not re.fullmatch(r"tmp\w+\.json", file)]  # Jupyter's, of a killed papermill
        assert not left, left

    def end(self) -> None:
        """Kill and remove everything."""
        self.kill()
        subprocess.run(["rm", "-rf", str(self.temporary)], check=True)


@pytest.fixture
def sweeps(tmp_path: Path, store: str) -> Iterator[Sweeps]:
    """Return sweeps in the test's folder and store, which end with the test."""
    made = Sweeps(tmp_path, store)
    yield made
    made.end()


def trial_runs(client: Any) -> list[Any]:
    """Return the runs of trials, by number."""
    found = [run for run in all_runs(client) if records.NUMBER_TAG in run.data.tags]
    return sorted(found, key=number_of)


def finished(client: Any) -> list[Any]:
    """Return the runs of the trials that count, by number."""
    return [run for run in trial_runs(client) if run.info.status in records.COUNTED]


def number_of(run: Any) -> int:
    """Return the number of a trial."""
    return int(run.data.tags[records.NUMBER_TAG])


def point_of(run: Any) -> str:
    """Return the point of a trial, as its run has recorded it."""
    return str(run.data.tags[records.POINT_TAG])


def is_whole_training(client: Any, run: Any) -> bool:
    """Tell whether the run of a training has its metrics, figures, notebook and model."""
    files = {"notebook/train.html", "notebook/train.ipynb", "plots/test.png", "importance.json"}
    has_metrics = {"test_rmse", "best_valid_rmse"} <= run.data.metrics.keys()
    return bool(has_metrics and files <= artifacts(client, run.info.run_id) and run.outputs.model_outputs)


def statuses(client: Any) -> list[str]:
    """Return the statuses of all runs, each once."""
    return sorted({run.info.status for run in all_runs(client)})
