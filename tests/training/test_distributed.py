"""Training on the workers of a Dask cluster: the answer of one process, also if workers die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import xgboost as xgb
from tests.support.clusters import Cluster, kill_group
from tests.support.executions import Look, Papermill, Start
from tests.support.paths import PROJECT
from tests.support.settings import make_settings
from tests.support.stores import all_runs
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.data.columns import profile_columns
from boostlab.data.splits import split_table
from boostlab.data.table import load_table
from boostlab.errors import LabError, ParameterError, TrainingError
from boostlab.evaluation.metrics import answer_part, score_metric
from boostlab.training.cross_validation import cross_validate
from boostlab.training.final_model import make_final_model
from boostlab.training.fit import Fit, fit_booster
from boostlab.training.learning_curve import learn_sizes

pytestmark = pytest.mark.slow
ROWS = 4_000
ENDLESS: dict[str, Any] = {"target": "price", "num_boost_round": 100_000, "early_stopping_rounds": 0}
CLOSE = 0.03  # relative: bins of sketches that are merged differ a little from those of one sketch


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"), dict(os.environ))
    for _ in range(2):
        started.start_worker(nthreads=1)
    started.wait_for_workers(2)
    yield started
    started.end()


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with gaps and text columns, one of them with a hundred categories in another order in each half of the rows."""
    random = np.random.default_rng(1)
    size, rooms = random.gamma(4, 20, ROWS), random.integers(1, 7, ROWS).astype(float)
    street = np.where(np.arange(ROWS) < ROWS / 2, np.arange(ROWS) % 100, 99 - np.arange(ROWS) % 100)
    price = 2 * size + 10 * rooms + 5 * (street % 7) + random.normal(0, 5, ROWS)
    table = pd.DataFrame(
        {
            "size": np.where(random.random(ROWS) < 0.1, np.nan, size),
            "rooms": rooms,
            "street": [f"street {number}" for number in street],
            "price": price,
            "sold": np.where(price > 250, "late", "early"),
            "band": pd.cut(price, [-np.inf, 180, 240, 300, np.inf], labels=["a", "b", "c", "d"]).astype(str),
            "visits": random.poisson(np.maximum(price, 1) / 50),
            "weight": random.integers(1, 4, ROWS),
        }
    )
    path = tmp_path_factory.mktemp("homes") / "homes.parquet"
    table.to_parquet(path, row_group_size=500)
    return path


def fit(dataset: Path, *, callbacks: list[xgb.callback.TrainingCallback] | None = None, **values: Any) -> tuple[Fit, Any]:
    """Train on a table, and return the fit and the split."""
    given: dict[str, Any] = {"dataset": str(dataset), "num_boost_round": 40, "early_stopping_rounds": 5, "nthread": 1}
    settings = make_settings(**given | values)
    split = split_table(load_table(settings), settings)
    return fit_booster(split, profile_columns(split), settings, callbacks=callbacks or []), split


@pytest.mark.parametrize(
    "values",
    [
        {"target": "price", "features": ["size", "rooms", "street"]},
        {"target": "price", "features": ["size", "rooms", "street"], "sample_weight": "weight", "tree_method": "approx"},
        {"target": "sold", "features": ["size", "rooms", "street"], "class_weight": "balanced"},
        {"target": "band", "features": ["size", "rooms", "street"], "metric": "log_loss"},
        {"target": "visits", "features": ["size", "rooms", "street"], "objective": "count:poisson"},
    ],
    ids=["quantity", "weights", "two classes", "four classes", "counts"],
)
def test_learns_what_one_process_learns(cluster: Cluster, homes: Path, values: dict[str, Any]) -> None:
    here, split = fit(homes, **values)
    there, _ = fit(homes, **values, scheduler=cluster.address)

    assert there.predictor.contract == here.predictor.contract
    name = f"valid_{here.metric}"
    ours, theirs = here.curves[name][here.best_iteration], there.curves[name][there.best_iteration]
    assert theirs == pytest.approx(ours, rel=CLOSE)
    assert there.ending.endswith(f"Trained on 2 workers of {cluster.address}.")
    assert there.predictor.booster.num_boosted_rounds() == there.best_iteration + 1
    # the model that is kept gives what the workers have said of it: the codes of its categories are the same everywhere
    answers = answer_part(there.predictor, split.valid)
    if split.valid.table.task == "regression":
        assert score_metric(here.metric, split.valid.target.to_numpy(float), answers, split.valid.weight) == pytest.approx(
            theirs, rel=1e-4
        )


@pytest.mark.parametrize("values", [{"target": "price"}, {"target": "sold", "threshold": "f1"}], ids=["quantity", "classes"])
def test_folds_sizes_and_the_final_model_are_those_of_one_process(
    cluster: Cluster, homes: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boostlab.training.learning_curve.DRAWS", 1)  # of each size: a training of them all takes a minute
    found = []
    for scheduler in ("", cluster.address):
        given: dict[str, Any] = {"folds": 3, "learning_curve": True, "num_boost_round": 20, "early_stopping_rounds": 3}
        given |= {"dataset": str(homes), "features": ["size", "rooms", "street"], "nthread": 2, "scheduler": scheduler}
        settings = make_settings(**given | values, final_model="all_rows")
        table = load_table(settings)
        split = split_table(table, settings)
        main = fit_booster(split, profile_columns(split), settings)
        folds = cross_validate(table, settings)
        sizes = learn_sizes(split, profile_columns(split), settings).sizes
        final = make_final_model(main, folds, table, settings)
        average = make_final_model(main, folds, table, settings.model_copy(update={"final_model": "folds"}))
        found.append((main, folds, sizes, final, average, split))
    (main, here, own_sizes, final, average, split), (_, there, their_sizes, their_final, their_average, _) = found
    assert [list(fold.split.test.rows) for fold in there.folds] == [list(fold.split.test.rows) for fold in here.folds]
    assert there.scores[main.metric].mean == pytest.approx(here.scores[main.metric].mean, rel=CLOSE)
    assert [size.rows for size in their_sizes] == [size.rows for size in own_sizes]
    assert [np.mean(size.values) for size in their_sizes] == pytest.approx([np.mean(size.values) for size in own_sizes], rel=0.1)
    assert their_final.ending.partition(" for ")[0] == final.ending.partition(" for ")[0]
    for ours, theirs in ((final, their_final), (average, their_average)):
        answers = [answer_part(one.predictor, split.test) for one in (ours, theirs)]
        assert np.corrcoef(answers[0], answers[1])[0, 1] > 0.99
        assert theirs.predictor.contract.features == ours.predictor.contract.features


def test_an_interrupt_ends_the_folds(cluster: Cluster, homes: Path) -> None:
    given: dict[str, Any] = {"folds": 3, "num_boost_round": 100_000, "early_stopping_rounds": 0, "scheduler": cluster.address}
    settings = make_settings(dataset=str(homes), target="price", **given)
    threading.Timer(3, os.kill, [os.getpid(), signal.SIGINT]).start()  # to the thread that waits
    with pytest.raises(KeyboardInterrupt):
        cross_validate(load_table(settings), settings)


def test_quantiles_do_not_depend_on_the_order_of_the_rows(cluster: Cluster, homes: Path, tmp_path: Path) -> None:
    pd.read_parquet(homes).sort_values("price").to_parquet(tmp_path / "sorted.parquet")
    values: dict[str, Any] = {"target": "price", "features": ["rooms"], "quantiles": [0.1, 0.9], "num_boost_round": 60}
    done, split = fit(tmp_path / "sorted.parquet", **values, scheduler=cluster.address)
    low, high = answer_part(done.predictor, split.valid).T
    price = split.valid.target.to_numpy(float)
    assert np.mean((low <= price) & (price <= high)) == pytest.approx(0.8, abs=0.05)


def test_a_metric_of_small_values_is_exact(cluster: Cluster, homes: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(homes)
    table.assign(price=table["price"].clip(lower=1) / 1e7).to_parquet(tmp_path / "small.parquet")
    values: dict[str, Any] = {
        "target": "price",
        "features": ["size", "rooms"],
        "objective": "reg:squaredlogerror",
        "num_boost_round": 30,
    }
    here, _ = fit(tmp_path / "small.parquet", **values)
    there, _ = fit(tmp_path / "small.parquet", **values, scheduler=cluster.address)
    assert there.curves["valid_rmsle"][there.best_iteration] == pytest.approx(
        here.curves["valid_rmsle"][here.best_iteration], rel=CLOSE
    )
    assert len(set(there.curves["valid_rmsle"])) == len(there.curves["valid_rmsle"])


def test_the_rounds_are_followed_and_an_interrupt_ends_them(cluster: Cluster, homes: Path) -> None:
    seen: list[int] = []

    class Watch(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            assert len(evals_log["valid"]["rmse"]) == epoch + 1
            seen.append(epoch)
            if epoch == 3:
                signal.raise_signal(signal.SIGINT)
            return False

    done, _ = fit(
        homes, target="price", num_boost_round=100_000, early_stopping_rounds=0, scheduler=cluster.address, callbacks=[Watch()]
    )
    rounds = len(done.curves["valid_rmse"])
    assert seen == list(range(rounds)) and 4 <= rounds < 100_000
    assert f"Stopped by hand after round {rounds}" in done.ending


INTERRUPTED = """
import sys
import xgboost as xgb
from tests.support.settings import make_settings
from boostlab.data import load_table, profile_columns, split_table
from boostlab.training import fit_booster

class Tell(xgb.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        print("round", epoch, flush=True)

if __name__ == "__main__":
    rounds = {"num_boost_round": 100_000, "early_stopping_rounds": 0}
    settings = make_settings(dataset=sys.argv[1], target="price", workers=2, **rounds)
    split = split_table(load_table(settings), settings)
    print(fit_booster(split, profile_columns(split), settings, callbacks=[Tell()]).ending)
"""


def test_an_interrupt_of_all_processes_keeps_the_rounds_so_far(homes: Path, tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    command = [sys.executable, str(tmp_path / "interrupted.py"), str(homes)]
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        assert process.stdout is not None
        assert "round 0\n" in iter(process.stdout.readline, "")
        os.killpg(process.pid, signal.SIGINT)  # as JupyterLab does
        ending = process.communicate(timeout=TIMEOUT_S)[0].splitlines()[-1]
    assert process.returncode == 0
    assert ending.startswith("Stopped by hand after round ") and ending.endswith("Trained on 2 workers on this machine.")


def test_goes_on_without_a_worker_that_was_killed(homes: Path, tmp_path: Path) -> None:
    class Kill(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch == 60 and not killed:
                killed.append(epoch)
                os.killpg(victim.pid, signal.SIGKILL)
            return False

    killed: list[int] = []
    own = Cluster(tmp_path, dict(os.environ))
    try:
        own.start_worker(nthreads=1)
        victim = own.start_worker(nthreads=1)
        values: dict[str, Any] = {"target": "price", "num_boost_round": 400, "early_stopping_rounds": 0, "eta": 0.05}
        whole, split = fit(homes, **values)
        own.wait_for_workers(2)
        done, _ = fit(homes, **values, scheduler=own.address, callbacks=[Kill()])
    finally:
        own.end()
    assert killed
    assert "was lost after round " in done.ending and "Trained on 1 worker of " in done.ending
    assert len(done.curves["valid_rmse"]) == done.predictor.booster.num_boosted_rounds() == 400
    assert done.curves["valid_rmse"][-1] == pytest.approx(whole.curves["valid_rmse"][-1], rel=CLOSE)
    answers = answer_part(done.predictor, split.valid)
    kept = score_metric("rmse", split.valid.target.to_numpy(float), answers, None)
    assert kept == pytest.approx(done.curves["valid_rmse"][-1], rel=1e-4)


def test_the_folds_go_on_without_a_worker_that_was_killed(
    homes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Cluster(tmp_path, dict(os.environ))
    try:
        own.start_worker(nthreads=1)
        victim = own.start_worker(nthreads=1)
        own.wait_for_workers(2)
        given: dict[str, Any] = {"folds": 2, "num_boost_round": 200, "early_stopping_rounds": 0, "nthread": 1}
        settings = make_settings(dataset=str(homes), target="price", scheduler=own.address, **given)

        def kill() -> None:
            own.wait_for_task("fn-")  # of XGBoost
            time.sleep(1)  # a worker that is lost in the beginning takes half a minute
            os.killpg(victim.pid, signal.SIGKILL)

        threading.Thread(target=kill).start()
        folds = cross_validate(load_table(settings), settings).folds
    finally:
        own.end()
    assert [fold.fit.predictor.booster.num_boosted_rounds() for fold in folds] == [200, 200]
    assert "was lost after round" in capsys.readouterr().err


def test_says_that_the_scheduler_was_lost(homes: Path, tmp_path: Path) -> None:
    class Kill(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            own.scheduler.kill()
            return False

    own = Cluster(tmp_path, dict(os.environ))
    try:
        own.start_worker(nthreads=1)
        with pytest.raises(TrainingError, match=f"The scheduler {own.address} was lost in the training. Start the cluster again"):
            fit(
                homes, target="price", num_boost_round=100_000, early_stopping_rounds=0, scheduler=own.address, callbacks=[Kill()]
            )
    finally:
        own.end()
    assert not [thread for thread in threading.enumerate() if thread.name == "boostlab-distributed"]


def test_a_notebook_trains_on_workers_of_this_machine(
    papermill: Papermill, store: str, look: Look, homes: Path, tmp_path: Path
) -> None:
    values = {"dataset": homes, "target": "sold", "num_boost_round": 5, "workers": 2, "tracking_uri": store}
    values |= {"folds": 2, "final_model": "all_rows"}
    options = [word for name, value in values.items() for word in ("-p", name, value)]
    done = papermill(PROJECT / "notebooks" / "train.ipynb", "out.ipynb", *options)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert run.info.status == "FINISHED" and run.data.params["workers"] == "2"
    assert run.data.tags["boostlab.training"].endswith("Trained on 2 workers on this machine.")
    assert run.data.metrics["test_log_loss"] < run.data.metrics["baseline_log_loss"]
    for number in (1, 2):
        memory = look().get_metric_history(run.info.run_id, f"system/worker_{number}_memory_megabytes")
        assert memory and all(50 < point.value < 5_000 for point in memory)
    written = (tmp_path / "out.ipynb").read_text()
    assert re.search(r"workers: 2 workers, up to \d+ MB each\"", written)
    assert '"stream"' not in written, "the workers print nothing"
    wait_until(lambda: str(tmp_path) not in {process.info["cwd"] for process in psutil.process_iter(["cwd"])})


@pytest.mark.parametrize("victim", ["worker", "scheduler"])
def test_a_notebook_ends_as_it_should_when_a_process_is_killed(
    victim: str, start_papermill: Start, store: str, look: Look, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Cluster(tmp_path, dict(os.environ))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    try:
        processes = {"worker": own.start_worker(nthreads=1), "scheduler": own.scheduler}
        own.start_worker(nthreads=1)
        own.wait_for_workers(2)
        values = {"dataset": homes, "target": "price", "num_boost_round": 800, "early_stopping_rounds": 0, "eta": 0.01}
        values |= {"scheduler": own.address, "tracking_uri": store}
        options = [str(word) for name, value in values.items() for word in ("-p", name, value)]
        execution = start_papermill(PROJECT / "notebooks" / "train.ipynb", "out.ipynb", *options)
        own.wait_for_task("fn-")  # of XGBoost
        time.sleep(0.5)
        kill_group(processes[victim])
        assert execution.wait(TIMEOUT_S) == (0 if victim == "worker" else 1)
    finally:
        own.end()
    (run,) = all_runs(look())
    if victim == "worker":
        assert run.info.status == "FINISHED" and "was lost after round" in run.data.tags["boostlab.training"]
    else:
        assert run.info.status == "FAILED" and "was lost in the training" in run.data.tags["boostlab.error.message"]
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("run.json")) and not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"workers": 2, "scheduler": "tcp://host:8786"},
            "workers = 2 starts workers here, and tcp://host:8786 has",
        ),
        (
            {"workers": 2, "tree_method": "exact"},
            "tree_method exact does not work on shares of the rows: set auto, hist or approx",
        ),
        ({"scheduler": "host"}, "tcp://HOST:PORT, tls://HOST:PORT, or empty"),
        ({"workers": -1}, "workers"),
    ],
)
def test_refuses_what_workers_cannot_do(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_settings(**values)


def test_refuses_before_a_row_is_sent(cluster: Cluster, homes: Path) -> None:
    own: dict[str, Any] = {"target": "sold", "scheduler": cluster.address}
    with pytest.raises(TrainingError, match="Choose log_loss or roc_auc, or train without"):
        fit(homes, **own, metric="brier")
    with pytest.raises(TrainingError, match="XGBoost has no use for 'nonsense' in this training"):
        fit(homes, **own, xgb_params={"nonsense": 1})
    with pytest.raises(TrainingError, match="XGBoost refuses this training"):
        fit(homes, **own, xgb_params={"sampling_method": "nonsense"})
    with pytest.raises(LabError, match="cannot be reached"):
        fit(homes, target="sold", scheduler="tcp://127.0.0.1:1")
