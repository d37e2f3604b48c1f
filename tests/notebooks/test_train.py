"""``train.ipynb`` as people run it: each data set, both local stores and a server, refusals, and several at once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.executions import run_here
from tests.support.paths import PAPERMILL, PROJECT
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore, all_runs, artifacts, read_artifact
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.comparison.candidates import compare_runs
from boostlab.evaluation.training_rows import fetch_training_rows
from boostlab.registry.gate import load_gate
from boostlab.registry.transition import request_transition
from boostlab.registry.view import view_model

pytestmark = pytest.mark.slow

TRAIN = PROJECT / "notebooks" / "train.ipynb"
SETS = PROJECT / "parameters" / "train"
REGRESSION = {"rmse", "mae", "r2"}
CLASSIFICATION = {"log_loss", "brier", "calibration_error", "roc_auc", "average_precision"} | {
    *("accuracy", "balanced_accuracy", "f1", "mcc"),
}
FILES = {"notebook/train.ipynb", "notebook/train.html"}
ROWS = {
    "evaluation/test_rows.parquet",
    "evaluation/training_rows.parquet",
    "evaluation/slices.json",
    "evaluation/standing.txt",
    "importance.json",
    "columns.json",
    "model_card.md",
    "model_card.html",
}
DETAILS = {"plots/explanations.png", "plots/slices.png"}
PROCESSES = 4
PLOTS = {
    "plots/target.png",
    "plots/learning_curves.png",
    "plots/feature_importance.png",
    "plots/test.png",
}
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Look = Callable[..., Any]


def read_outputs(notebook: Path) -> list[dict[str, Any]]:
    """Return the outputs of a notebook's cells."""
    return [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", [])]


def loaded_predictions(client: Any, run: Any, rows: Any) -> tuple[Any, Any]:
    """Return what the logged model answers through both of its flavours."""
    import mlflow
    import xgboost

    (output,) = run.outputs.model_outputs
    folder = client.get_logged_model(output.model_id).artifact_location
    return mlflow.pyfunc.load_model(folder).predict(rows), mlflow.xgboost.load_model(folder).predict(xgboost.DMatrix(rows))


@pytest.mark.parametrize(
    ("dataset", "metrics", "curve"),
    [
        ("diabetes", REGRESSION, "rmse"),
        ("breast_cancer", CLASSIFICATION, "log_loss"),
        ("wine", CLASSIFICATION, "log_loss"),
        ("digits", CLASSIFICATION, "log_loss"),
        ("iris", CLASSIFICATION, "log_loss"),
    ],
)
def test_trains_and_records_each_data_set(
    execute: Papermill, store: str, look: Look, dataset: str, metrics: set[str], curve: str
) -> None:
    done = execute(TRAIN, "out.ipynb", "-f", SETS / f"{dataset}.yaml", "-p", "tracking_uri", store, "-p", "num_boost_round", 40)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert run.info.status == "FINISHED"
    assert run.data.params["eta"] and run.data.params["num_boost_round"] == "40"
    expected = {f"{part}_{name}" for part in ("test", "baseline") for name in metrics}
    ends = {name for name in run.data.metrics if name.endswith(("_low", "_high"))}
    with_interval = {name.removesuffix("_low").removesuffix("_high") for name in ends}
    assert {f"test_{name}" for name in ("rmse", "mae", "r2", "log_loss", "calibration_error") if name in metrics} <= with_interval
    assert with_interval <= {f"test_{name}" for name in metrics}
    always = {"best_iteration", "fit_time_s", "rows", "rows_without_target"}
    assert set(run.data.metrics) - ends == expected | always | {f"train_{curve}", f"valid_{curve}", f"best_valid_{curve}"}
    first = "rmse" if "rmse" in metrics else "log_loss"
    assert run.data.metrics[f"test_{first}"] < run.data.metrics[f"baseline_{first}"]
    history = look().get_metric_history(run.info.run_id, f"valid_{curve}")
    assert [point.step for point in history] == list(range(len(history)))
    assert len(history) > run.data.metrics["best_iteration"]
    best = next(point.value for point in history if point.step == run.data.metrics["best_iteration"])
    assert run.data.metrics[f"best_valid_{curve}"] == best
    findings = {"findings.json"} if "boostlab.findings" in run.data.tags else set()
    assert artifacts(look(), run.info.run_id) == FILES | PLOTS | ROWS | findings
    (dataset_input,) = run.inputs.dataset_inputs
    assert dataset_input.dataset.name == dataset and len(dataset_input.dataset.digest) == 16
    assert f"test_{first}" in done.stderr and run.info.run_id in done.stderr
    html = read_artifact(look(), run.info.run_id, "notebook/train.html")
    assert "<script src" not in html and html.count('alt="') >= 3


def write_counts(folder: Path) -> Path:
    """Counts whose mean depends on x, with weights."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=600)
    path = folder / "counts.csv"
    pd.DataFrame({"x": x, "w": draw.integers(1, 4, 600), "n": draw.poisson(np.exp(x))}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("options", "objective", "metric"),
    [
        (["-p", "objective", "count:poisson", "-p", "sample_weight", "w"], "count:poisson", "poisson_deviance"),
        (["-y", "quantiles: [0.9, 0.1]", "-p", "sample_weight", "w"], "reg:quantileerror", "pinball:0.1-0.9"),
        ([], "reg:squarederror", "rmse"),
    ],
)
def test_records_the_metric_of_the_objective_and_why_the_task_was_chosen(
    execute: Papermill, store: str, look: Look, tmp_path: Path, options: list[object], objective: str, metric: str
) -> None:
    table = write_counts(tmp_path)
    done = execute(TRAIN, "out.ipynb", "-p", "dataset", table, "-p", "target", "n", "-p", "tracking_uri", store, *options)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert (run.data.tags["boostlab.objective"], run.data.tags["boostlab.metric"]) == (objective, metric)
    assert run.data.metrics[f"test_{metric}"] < run.data.metrics[f"baseline_{metric}"]
    assert f"valid_{metric}" in run.data.metrics
    assert ("test_coverage:0.1-0.9" in run.data.metrics) == ("test_width:0.1-0.9" in run.data.metrics) == ("0.1" in metric)
    reason = run.data.tags["boostlab.task_choice"]
    assert reason.startswith("Task: regression of 'n', because ")
    shown = [
        str(output) for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for output in cell.get("outputs", [])
    ]
    assert sum(reason.partition("'n'")[2].strip() in output.replace("\\", "") for output in shown) == 2  # in Data and in Result


def test_trains_with_the_rows_on_disk_as_in_memory(
    execute: Papermill, store: str, look: Look, tmp_path: Path, cache_root: Path
) -> None:
    table = write_counts(tmp_path)
    for memory in ("external", "auto"):
        given = {"dataset": table, "target": "n", "memory": memory, "tracking_uri": store, "num_boost_round": 20}
        done = execute(TRAIN, "out.ipynb", *[text for pair in given.items() for text in ("-p", *pair)])
        assert done.returncode == 0, done.stderr
    runs = {run.data.tags["boostlab.memory"]: run for run in all_runs(look())}
    assert runs.keys() == {"external", "internal"}
    inside, outside = ({**runs[name].data.metrics, "fit_time_s": 0} for name in ("internal", "external"))
    assert outside == pytest.approx(inside, rel=1e-3)
    wait_until(lambda: [one.name for one in cache_root.iterdir()] == ["lock"])


@pytest.mark.parametrize(("final", "rows"), [("best", "the validation rows"), ("all_rows", "the rows of the cross-validation")])
def test_decides_as_asked_and_records_why(execute: Papermill, store: str, look: Look, final: str, rows: str) -> None:
    asked = ["-p", "folds", 0 if final == "best" else 3, "-p", "final_model", final, "-p", "num_boost_round", 30]
    asked += ["-p", "positive_label", "benign", "-p", "calibrate", "sigmoid", "-p", "threshold", "precision >= 0.95"]
    done = execute(TRAIN, "out.ipynb", "-p", "dataset", "breast_cancer", "-p", "tracking_uri", store, *asked)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert run.data.tags["boostlab.decision"].startswith(f"Probabilities are calibrated on {rows} (sigmoid). The threshold")
    assert 0 < run.data.metrics["threshold"] < 1 and run.data.metrics["threshold_precision"] >= 0.95
    assert "test_recall_at_precision:0.95" in run.data.metrics
    assert "plots/threshold.png" in artifacts(look(), run.info.run_id)
    (output,) = run.outputs.model_outputs
    folder = Path(look().get_logged_model(output.model_id).artifact_location.removeprefix("file:"))
    contract = json.loads((folder / "data/model_data/contract.json").read_text())
    assert contract["labels"] == ["malignant", "benign"] and contract["threshold"] == run.data.metrics["threshold"]
    assert contract["calibration"]["method"] == "sigmoid"


def test_folds_judge_a_model_of_all_rows_and_the_comparison(execute: Papermill, store: str, look: Look, tmp_path: Path) -> None:
    own = ["-p", "tracking_uri", store, "-p", "folds", 3, "-p", "dataset", "wine", "-p", "num_boost_round", 20]
    for number, final in enumerate(("all_rows", "folds"), 1):
        done = execute(
            TRAIN, f"{final}.ipynb", *own, "-p", "final_model", final, "-p", "eta", 0.1 * number, "-p", "register_as", "w"
        )
        assert done.returncode == 0, done.stderr
    new, old = all_runs(look())

    recorded = {"cv_log_loss", "cv_log_loss_std", "cv_log_loss_low", "cv_log_loss_high"}
    assert recorded <= set(new.data.metrics) and "fold_log_loss" in new.data.metrics
    assert [point.step for point in look().get_metric_history(new.info.run_id, "fold_log_loss")] == [0, 1, 2]
    assert {"evaluation/out_of_fold_rows.parquet", "plots/folds.png"} <= set(artifacts(look(), new.info.run_id))
    assert "cv_log_loss " in done.stderr and "cv_log_loss_low" not in done.stderr
    shown = "".join(str(output) for output in read_outputs(tmp_path / "folds.ipynb"))
    assert "Over 3 folds the log_loss is" in shown and "The model is the average of the 3 models of the folds" in shown
    for run in (old, new):
        known = fetch_training_rows(look(), run.info.run_id)
        assert known is not None and known.rows == 178
        (output,) = run.outputs.model_outputs
        assert look().get_logged_model(output.model_id)
    difference = compare_runs(look(), champion=old, challenger=new)
    assert difference.rows == 178 and difference.basis.startswith("The rows are all 178 of the cross-validation")
    request = request_transition(view_model(look(), "w"), "promote", version=2, stage="staging")
    judged = load_gate(PROJECT / "parameters" / "registry" / "gate.yaml").judge(look(), request)
    (answers,) = [result for result in judged.results if result.rule == "model_answers"]
    assert answers.outcome == "pass" and "learned from all rows" in answers.evidence


def test_draws_rows_and_slices_if_wanted(execute: Papermill, store: str, look: Look) -> None:
    done = execute(TRAIN, "out.ipynb", "-p", "tracking_uri", store, "-p", "num_boost_round", 20, "-p", "details", "True")
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert artifacts(look(), run.info.run_id) - PLOTS - FILES - ROWS == DETAILS


def test_says_how_the_run_stands_and_what_comes_next(execute: Papermill, store: str, look: Look, tmp_path: Path) -> None:
    texts = []
    for rounds in (5, 60, 40):
        done = execute(TRAIN, "out.ipynb", "-p", "num_boost_round", rounds, "-p", "eta", 0.02, "-p", "tracking_uri", store)
        assert done.returncode == 0, done.stderr
        outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
        texts.append("".join("".join(output["data"]["text/markdown"]) for output in outputs).replace("\\", ""))
    poor, best, _ = sorted(all_runs(look()), key=lambda run: run.info.start_time)
    assert "It is the first finished run on this split" in texts[0] and "`num_boost_round` 10 looks promising" in texts[0]
    rmse = best.data.metrics["best_valid_rmse"]
    assert f"Number 1 of 2 runs on this split by valid rmse: {rmse:.4g}. The next is [" in texts[1]
    assert poor.info.run_id in texts[1] and "This run is better than that run: rmse " in texts[1]
    assert "Number 2 of 3 runs" in texts[2] and f"The best is [{best.info.run_name}](" in texts[2]
    assert f'runs = ["{best.info.run_id}"]' in texts[1] and "difference of " in texts[2]


def test_says_everywhere_that_the_model_does_not_beat_the_constant(
    execute: Papermill, store: str, look: Look, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    pd.DataFrame({"x": draw.normal(size=300), "y": draw.normal(size=300)}).to_csv(tmp_path / "noise.csv", index=False)
    options = ["-p", "dataset", tmp_path / "noise.csv", "-p", "target", "y", "-p", "early_stopping_rounds", 0]
    done = execute(TRAIN, "out.ipynb", *options, "-p", "num_boost_round", 60, "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    finding = "The model is worse than the best constant"
    (run,) = all_runs(look())
    assert f"finding: {finding}" in done.stderr
    assert finding in run.data.tags["boostlab.findings"]
    result = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]
    assert finding in str(result["outputs"])


def test_the_model_loads_by_both_flavours_with_the_notebooks_predictions(execute: Papermill, store: str, look: Look) -> None:
    import sklearn.datasets

    options = ["-p", "dataset", "iris", "-p", "tracking_uri", store, "-p", "register_as", "flowers"]
    for version in (1, 2):
        done = execute(TRAIN, "out.ipynb", *options)
        assert done.returncode == 0, done.stderr
        assert f"registered as flowers version {version}" in done.stderr
    run = all_runs(look())[0]
    rows, truth = sklearn.datasets.load_iris(return_X_y=True, as_frame=True)
    labels, probabilities = loaded_predictions(look(), run, rows)
    names = np.array(["setosa", "versicolor", "virginica"])
    assert (labels == names[probabilities.argmax(axis=1)]).all()
    assert (labels == names[truth]).mean() > 0.9
    versions = look().search_model_versions("name = 'flowers'")
    assert sorted(int(version.version) for version in versions) == [1, 2]


def test_says_everywhere_what_makes_the_results_doubtful(execute: Papermill, store: str, look: Look, tmp_path: Path) -> None:
    """Five copies of noise, with a column that gives the target away."""
    draw = np.random.default_rng(0)
    noise = pd.DataFrame(draw.normal(size=(200, 3)), columns=["a", "b", "y"])
    pd.concat([noise.assign(leak=noise.y.rank())] * 5).to_csv(tmp_path / "t.csv", index=False)
    done = execute(TRAIN, "out.ipynb", "-p", "dataset", tmp_path / "t.csv", "-p", "target", "y", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    (run,) = all_runs(look())
    assert run.data.metrics["test_r2"] < 0.2
    findings = json.loads(run.data.tags["boostlab.findings"])
    assert findings == json.loads(read_artifact(look(), run.info.run_id, "findings.json"))
    expected = ("800 of 1,000 rows repeat", "'leak' is left out", "than the best constant")
    assert all(words in finding for words, finding in zip(expected, findings, strict=True))
    assert all(f"  finding: {finding}" in done.stderr for finding in findings)
    assert json.loads(run.data.tags["boostlab.columns_left_out"]).keys() == {"leak"}
    profiles = {profile["name"]: profile for profile in json.loads(read_artifact(look(), run.info.run_id, "columns.json"))}
    assert [profiles[name]["left_out"][:19] for name in ("a", "b", "leak")] == ["", "", "reveals the target:"]
    shown = ["".join(o.get("data", {}).get("text/markdown", "")) for o in read_outputs(tmp_path / "out.ipynb")]
    assert sum("800 of 1\\,000 rows repeat" in text for text in shown) == 2  # in the split and in the result


def test_a_folder_of_plain_files_holds_runs_and_registry(
    execute: Papermill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = execute(TRAIN, "out.ipynb", "-f", SETS / "store-files.yaml", "-p", "register_as", "sugar")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    (run,) = all_runs(client)
    assert run.info.status == "FINISHED"
    assert artifacts(client, run.info.run_id) == FILES | PLOTS | ROWS
    assert client.get_model_version("sugar", "1").run_id == run.info.run_id


@pytest.fixture
def server(tmp_path: Path, new_store: NewStore) -> Iterator[str]:
    """Yield the address of an MLflow server on loopback."""
    with serve_mlflow(tmp_path, new_store) as address:
        yield address


def test_a_served_store_gets_the_run_and_the_version(execute: Papermill, server: str, look: Look) -> None:
    done = execute(TRAIN, "out.ipynb", "-p", "register_as", "sugar", MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stderr
    client = look(server)
    (run,) = all_runs(client)
    assert run.info.status == "FINISHED"
    assert f"see {server}/#/experiments/" in done.stderr
    assert artifacts(client, run.info.run_id) == FILES | PLOTS | ROWS
    assert client.get_model_version("sugar", "1").run_id == run.info.run_id


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
def test_several_first_uses_at_once_work(tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = f"sqlite:///{tmp_path}/fresh.db" if scheme == "sqlite" else f"file://{tmp_path}/fresh"
    options = ["-p", "tracking_uri", address, "-p", "register_as", "crowd", "-p", "num_boost_round", "5"]
    started = [
        subprocess.Popen(
            [PAPERMILL, "--no-progress-bar", str(TRAIN), str(tmp_path / f"{n}.ipynb"), *options], stderr=subprocess.PIPE
        )
        for n in range(PROCESSES)
    ]
    printed = [process.communicate(timeout=TIMEOUT_S)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, printed
    runs = all_runs(look(address))
    assert [run.info.status for run in runs] == ["FINISHED"] * PROCESSES
    assert len({run.info.run_name for run in runs}) == PROCESSES
    versions = look(address).search_model_versions("name = 'crowd'")
    assert sorted(int(version.version) for version in versions) == list(range(1, PROCESSES + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "max_dept", 3], "No parameter 'max_dept'. Did you mean 'max_depth'?"),
        (["-p", "eta", "abc"], "eta takes a number with 0 <= eta <= 1, not 'abc'."),
        (["-p", "eta", -1], "eta = -1 is out of range. Allowed: 0 <= eta <= 1."),
        (["-p", "max_depth", -1], "max_depth = -1 is out of range. Allowed: 0 <= max_depth."),
        (["-p", "subsample", 1.5], "subsample = 1.5 is out of range. Allowed: 0 < subsample <= 1."),
        (["-p", "test_size", 0.6, "-p", "valid_size", 0.4], "leave no rows for training"),
        (["-p", "dataset", "iriss"], "/iriss. Did you mean 'iris'?"),
        (["-p", "dataset", "nothing.csv", "-p", "target", "y"], "dataset = 'nothing.csv': neither a data set"),
        (["-y", "xgb_params: {eta: 0.2}"], "xgb_params names eta"),
        (["-y", "xgb_params: {lambda: 2}"], "xgb_params names lambda: set it by its own parameter, as -p reg_lambda"),
        (["-p", "objective", "rank:ndcg"], "objective has no choice 'rank:ndcg'. It takes: auto, reg:squarederror, "),
        (["-y", "xgb_params: {eval_metric: auc}"], "xgb_params names eval_metric: set it by its own parameter, as -p metric"),
        (["-p", "objective", "reg:gamma", "-p", "metric", "f1"], "metric f1 does not fit objective reg:gamma. Allowed: auto, "),
        (["-p", "dataset", TRAIN], "needs a target"),
        (["-p", "split", "time"], "is for tables of your own"),
        (
            ["-p", "threshold", "1.5"],
            "threshold = 1.5: out of range. Allowed: empty, a number between 0 and 1, f1, mcc, ",
        ),
    ],
)
def test_refuses_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here(TRAIN, "new/out.ipynb", "-p", "tracking_uri", f"sqlite:///{tmp_path}/t.db", *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: train.ipynb: ")
    assert message in line
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "t.db").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "dataset", "iris", "-p", "task", "regression"], "task = 'regression' does not fit the target"),
        (["-p", "task", "classification"], "task = 'classification' does not fit the target"),
        (["-p", "dataset", "iris", "-p", "test_size", 0.001], "The test part of 'iris' would have 0 of 149 different rows"),
        (["-y", "xgb_params: {max_cat: 3}"], "XGBoost has no use for 'max_cat'"),
        (["-y", "xgb_params: {monotone_constraints: '(1,2'}"], "Invalid Parameter format for monotone_constraints"),
    ],
)
def test_what_only_the_notebook_can_know_fails_with_one_message(
    execute: Papermill, store: str, look: Look, tmp_path: Path, options: list[object], message: str
) -> None:
    done = execute(TRAIN, "out.ipynb", "-p", "tracking_uri", store, *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    (run,) = all_runs(look())
    assert run.info.status == "FAILED"
    assert message in run.data.tags["boostlab.error.message"]
    outputs = read_outputs(tmp_path / "out.ipynb")
    assert message in outputs[-1]["evalue"]
    assert len(outputs[-1]["traceback"]) == 1


@pytest.mark.parametrize(("task", "status"), [("auto", "FINISHED"), ("classification", "KILLED")])
def test_a_kernel_that_no_engine_runs_owns_its_run(execute: Papermill, store: str, look: Look, task: str, status: str) -> None:
    """As in JupyterLab: the notebook makes the run; what it does not finish does not stay open."""
    execute("--engine", "nbclient", TRAIN, "out.ipynb", "-p", "tracking_uri", store, "-p", "task", task)
    wait_until(lambda: all_runs(look())[0].info.status != "RUNNING")  # its courier ends it once the kernel is gone
    (run,) = all_runs(look())
    assert (run.info.status, run.data.tags["boostlab.origin"]) == (status, "jupyter")
    assert ("test_rmse" in run.data.metrics) == (status == "FINISHED")


def test_refuses_too_many_folds_before_it_trains(execute: Papermill, store: str, look: Look) -> None:
    done = execute(TRAIN, "out.ipynb", "-p", "dataset", "iris", "-p", "folds", 60, "-p", "tracking_uri", store)

    assert done.returncode == 1 and "folds = 60 is more than the 49 different rows of the class 'virginica'" in done.stderr
    (run,) = all_runs(look())
    assert run.info.status == "FAILED" and "fit_time_s" not in run.data.metrics
