"""Headless executions whose store is lost: the record is kept and delivered later."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.support.executions import NOTEBOOK, Look, Papermill, Start, Write, wait_for
from tests.support.paths import BOOSTLAB
from tests.support.servers import Relay, serve_mlflow
from tests.support.stores import NewStore, artifacts, only_run
from tests.support.waiting import TIMEOUT_S

from boostlab.tracking.journal import journals_folder, waiting_journals

pytestmark = pytest.mark.slow

ATTACH = """\
import os
from pathlib import Path
from boostlab.tracking.journal import Journal
from boostlab.tracking.run import Run
run = Run(Journal(Path(os.environ['BOOSTLAB_JOURNAL'])))
"""


WITHOUT_PARAMETERS = "x: int = 1  # a number\n"


LOSES_STORE = (
    ATTACH + "\nrun.log_metrics({'early': 1.0})\nPath('ready').write_text('x')",
    "import time\nwhile not Path('gone').exists():\n    time.sleep(0.05)",
    "import matplotlib.pyplot as plt, pandas as pd, xgboost as xgb\n"
    "from boostlab.models.contract import Contract, Feature\n"
    "from boostlab.models.predictor import Predictor\n"
    "rows = pd.DataFrame({'a': [0.0, 1.0, 2.0, 3.0]})\n"
    "booster = xgb.train({'nthread': 1}, xgb.DMatrix(rows, label=[0, 1, 2, 3]), num_boost_round=3)\n"
    "run.log_curves({'valid_rmse': [3.0, 2.0, 1.0]})\nrun.log_figure(plt.figure(), 'gain')\n"
    "predictor = Predictor(booster, Contract('regression', (), (Feature('a', 'number', 'double'),)))\n"
    "run.log_model(predictor, rows, register_as='kept')\nrun.finish()",
)


@pytest.mark.parametrize("back", [True, False], ids=["store comes back", "store comes back empty"])
def test_a_run_whose_store_is_lost_is_kept_and_delivered_later(
    write_notebook: Write, start_papermill: Start, store: str, look: Look, back: bool
) -> None:
    path = write_notebook(*LOSES_STORE)
    database = Path(store.removeprefix("sqlite:///"))
    process = start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("ready"))
    time.sleep(0.5)
    database.rename(database.with_name("away"))
    path.with_name("gone").write_text("x")
    _, printed = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "Traceback" not in printed
    command = printed.strip().splitlines()[-1].removeprefix("When the store is back, run: ")
    assert command.startswith("boostlab deliver ")
    assert json.loads((path.parent / "out.ipynb").read_text())["cells"][-1]["execution_count"]
    if back:
        database.with_name("away").rename(database)
    delivered = subprocess.run([BOOSTLAB, *command.split()[1:]], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert delivered.returncode == 0, delivered.stderr
    run = only_run(look())
    assert run.info.status == "FINISHED"
    assert set(run.data.metrics) == {"early", "valid_rmse"}
    assert len(look().get_metric_history(run.info.run_id, "valid_rmse")) == 3
    assert run.data.params["x"] == "1"
    assert artifacts(look(), run.info.run_id) == NOTEBOOK | {"plots/gain.png"}
    (version,) = look().search_model_versions("name = 'kept'")
    assert (version.version, version.run_id) == (1, run.info.run_id)
    assert not list(journals_folder().iterdir())


@pytest.mark.parametrize(
    ("path", "words", "status"),
    [("/runs/update", "refuses this", "FINISHED"), ("/runs/log-batch", "refuses this", "FAILED")],
    ids=["the end", "a metric"],
)
def test_what_the_store_refuses_is_an_error_and_is_kept(
    write_notebook: Write, papermill: Papermill, tmp_path: Path, new_store: NewStore, path: str, words: str, status: str
) -> None:
    notebook = write_notebook("import os\n" + ATTACH + "run.log_metrics({'a': 1.0})\nrun.finish()", parameters=WITHOUT_PARAMETERS)
    with serve_mlflow(tmp_path / "served", new_store) as address, Relay(address, refused=path) as server:
        done = papermill(notebook, "out.ipynb", MLFLOW_TRACKING_URI=server.address)
        assert done.returncode == 1
        assert words in done.stderr and "Traceback" not in done.stderr
        if path == "/runs/update":
            assert "When the store is back, run: boostlab deliver" in done.stderr
            assert [journal.has_end() for journal in waiting_journals()] == [True]
        server.is_open = True
        if waiting_journals():
            delivered = subprocess.run([BOOSTLAB, "deliver"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            assert delivered.returncode == 0, delivered.stderr
        run = only_run(MlflowClient(address, address))
        assert run.info.status == status and not waiting_journals()
