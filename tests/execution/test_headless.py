"""Headless executions, each with a real kernel and a real store: how they end, and what their run says of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
from tests.support.common import BOOSTLAB, PROJECT, TIMEOUT_S, all_runs, artifacts, read_artifact, wait_until

from boostlab.tracking.journal import journals_folder

pytestmark = pytest.mark.slow

NOTEBOOK = {"notebook/tiny.html", "notebook/tiny.ipynb"}
SLEEPER = """\
from pathlib import Path
import os, time
print('so far', flush=True)
Path('pid').write_text(str(os.getpid()))
time.sleep(90)
"""
ATTACH = """\
import os
from pathlib import Path
from boostlab.tracking.journal import Journal
from boostlab.tracking.run import Run
run = Run(Journal(Path(os.environ['BOOSTLAB_JOURNAL'])))
"""
Look = Callable[..., Any]
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Write = Callable[..., Path]


def wait_for(path: Path) -> str:
    """Return a file's text once a notebook has written it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs, zombies aside."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def only_run(client: Any) -> Any:
    (run,) = all_runs(client)
    return run


def test_a_notebook_that_runs_through_is_finished(write_notebook: Write, papermill: Papermill, store: str, look: Look) -> None:
    path = write_notebook("print(x + 1)")
    done = papermill(path, "made/for/it/out.ipynb", "-p", "tracking_uri", store, "-p", "x", 41)
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.info.run_name.startswith("tiny-")
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    assert run.data.params == {"x": "41", "experiment": "tiny", "run_name": "", "tracking_uri": store}
    tags = run.data.tags
    assert tags["mlflow.source.name"] == str(path)
    assert tags["boostlab.notebook"] == "tiny"
    assert tags["boostlab.origin"] == "papermill"
    assert tags["boostlab.host"] and int(tags["boostlab.pid"])
    kept = read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb")
    assert json.loads(kept) == json.loads((path.parent / "made/for/it/out.ipynb").read_text())
    assert "42" in read_artifact(look(), run.info.run_id, "notebook/tiny.html")
    assert not list(journals_folder().iterdir())


def test_the_run_exists_before_the_kernel_and_plain_mlflow_calls_join_it(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    cells = "import os\nprint('run', os.environ['MLFLOW_RUN_ID'])", "import mlflow\nmlflow.log_metric('own', 7)"
    done = papermill(write_notebook(*cells), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.data.metrics == {"own": 7}
    assert f"run {run.info.run_id}" in read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb")


def test_a_cell_that_raises_fails_the_run_and_keeps_its_traceback(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook("1 / 0", "print('never')"), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    run = only_run(look())
    assert run.info.status == "FAILED"
    assert run.data.tags["boostlab.error.name"] == "ZeroDivisionError"
    assert run.data.tags["boostlab.error.message"] == "division by zero"
    kept = json.loads(read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb"))
    outputs = [output for cell in kept["cells"] for output in cell.get("outputs", [])]
    assert [output["ename"] for output in outputs] == ["ZeroDivisionError"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_a_mistake_in_the_input_ends_in_one_message_without_a_traceback(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    path = write_notebook("from boostlab.errors import DataError\nraise DataError('This table is empty.')")
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == "Error: tiny.ipynb, cell In [3]: This table is empty."
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.error.name"]) == ("FAILED", "DataError")
    last = json.loads((path.parent / "out.ipynb").read_text())["cells"][-1]
    assert last["outputs"][-1]["traceback"] == ["DataError: This table is empty."]


def test_a_notebook_that_ends_itself_early_is_not_finished(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook("import sys\nsys.exit(0)", "print('never')"), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.reason"]) == (
        "FAILED",
        "The notebook ended itself 1 cell(s) before its end.",
    )


def test_a_killed_kernel_fails_the_run_and_says_so(write_notebook: Write, papermill: Papermill, store: str, look: Look) -> None:
    path = write_notebook(
        "import os, signal, time\nprint('so far', flush=True)\ntime.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 138
    assert done.stderr.strip().splitlines()[-1].endswith("as the system does when memory runs out.")
    run = only_run(look())
    assert run.info.status == "FAILED"
    assert "SIGKILL" in run.data.tags["boostlab.reason"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    kept = json.loads(read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb"))
    assert kept["cells"][-1]["outputs"][0]["text"] == ["so far\n"]
    assert kept["cells"][-1]["metadata"]["papermill"]["status"] == "failed"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_kills_the_run_and_its_kernel(
    write_notebook: Write, start_papermill: Start, store: str, look: Look, signum: signal.Signals, code: int
) -> None:
    path = write_notebook(SLEEPER, "print('never')")
    process = start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    kernel = int(wait_for(path.with_name("pid")))
    assert only_run(look()).info.status == "RUNNING"
    process.send_signal(signum)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code
    assert not is_alive(kernel)
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert run.data.tags["boostlab.reason"] == f"Stopped by {signum.name}."
    assert "so far" in read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb")
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_a_second_signal_does_not_cut_off_the_record_of_the_first(
    write_notebook: Write, start_papermill: Start, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("pid"))
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    process.communicate(timeout=TIMEOUT_S)
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    assert "so far" in (path.parent / "out.ipynb").read_text()


def test_paths_count_from_where_the_command_starts_whatever_the_kernels_folder(
    write_notebook: Write, papermill: Papermill, tmp_path: Path, look: Look
) -> None:
    for name in ("start/notebooks", "start/inner", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "start/pyproject.toml").touch()
    (tmp_path / "elsewhere/pyproject.toml").touch()
    (tmp_path / "elsewhere/beside.py").write_text("HERE = 'beside the kernel'")
    write_notebook("import beside\nprint(beside.HERE)").rename(tmp_path / "start/notebooks/tiny.ipynb")
    done = papermill("notebooks/tiny.ipynb", "new/out.ipynb", "--cwd", "../elsewhere", cwd=tmp_path / "start")
    assert done.returncode == 0, done.stderr
    run = only_run(look(f"sqlite:///{tmp_path}/start/mlflow.db"))
    assert run.data.tags["mlflow.source.name"] == f"{tmp_path}/start/notebooks/tiny.ipynb"
    assert "beside the kernel" in (tmp_path / "start/new/out.ipynb").read_text()
    assert not (tmp_path / "elsewhere/new").exists()


def test_what_counts_when_a_package_is_loaded_counts_here_too(
    write_notebook: Write, papermill: Papermill, store: str, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text("print('loaded')")
    cells = (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
        "import loud, xgboost, threadpoolctl\nprint(threadpoolctl.threadpool_info())",
    )
    done = papermill(write_notebook(*cells), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
    printed = "".join(text for output in outputs for text in output["text"])
    assert printed.startswith("loaded")
    assert "'num_threads': 1" in printed
    assert "'user_api': 'openmp', 'internal_api': 'openmp', 'num_threads': 2" not in printed


def test_a_stray_run_of_the_notebooks_own_stays_in_its_experiment(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    cell = "import mlflow\nfor _ in range(2):\n    with mlflow.start_run():\n        mlflow.log_metric('m', 1)"
    done = papermill(write_notebook(cell), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    assert {run.info.experiment_id for run in all_runs(look())} == {look().get_experiment_by_name("tiny").experiment_id}


def test_a_run_whose_owner_was_killed_is_ended_by_its_watchdog(
    write_notebook: Write, start_papermill: Start, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "killed.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("pid"))
    process.kill()
    wait_until(lambda: only_run(look()).info.status != "RUNNING")
    wait_until(lambda: not list(journals_folder().iterdir()))
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert f"Process {process.pid} " in run.data.tags["boostlab.reason"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_the_next_execution_ends_a_run_whose_owner_and_watchdog_were_killed(
    write_notebook: Write, start_papermill: Start, papermill: Papermill, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "killed.ipynb", "-p", "tracking_uri", store, "-p", "run_name", "victim")
    kernel = int(wait_for(path.with_name("pid")))
    (watchdog,) = [child for child in psutil.Process(process.pid).children() if "boostlab.tracking.watchdog" in child.cmdline()]
    watchdog.kill()
    process.kill()
    process.wait(TIMEOUT_S)
    assert only_run(look()).info.status == "RUNNING"
    done = papermill(write_notebook("print(x)", name="next.ipynb"), "next_out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    runs = {run.info.run_name: run for run in all_runs(look())}
    victim = runs.pop("victim")
    assert victim.info.status == "KILLED"
    assert f"Process {process.pid} " in victim.data.tags["boostlab.reason"]
    assert artifacts(look(), victim.info.run_id) == NOTEBOOK
    assert [run.info.status for run in runs.values()] == ["FINISHED"]
    deadline = time.monotonic() + TIMEOUT_S
    while is_alive(kernel) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(kernel)


LOSES_STORE = (
    ATTACH + "\nrun.log_metrics({'early': 1.0})\nPath('ready').write_text('x')",
    "import time\nwhile not Path('gone').exists():\n    time.sleep(0.05)",
    f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\n"
    "from boostlab.data import load_table, profile_columns, split_table\n"
    "from boostlab.training import fit_booster, plot_importance\n"
    "from tests.support.settings import make_settings\n"
    "settings = make_settings(dataset='iris', num_boost_round=3)\n"
    "parts = split_table(load_table(settings), settings)\n"
    "fit = fit_booster(parts, profile_columns(parts), settings)\n"
    "run.log_curves(fit.curves)\nrun.log_figure(plot_importance(fit.rank_features()), 'gain')\n"
    "print(run.log_model(fit.predictor, parts.train.head(5), register_as='kept'))\nrun.finish()",
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
    assert set(run.data.metrics) == {"early", "train_mlogloss", "valid_mlogloss"}
    assert len(look().get_metric_history(run.info.run_id, "valid_mlogloss")) == 3
    assert run.data.params["x"] == "1"
    assert artifacts(look(), run.info.run_id) == NOTEBOOK | {"plots/gain.png"}
    (version,) = look().search_model_versions("name = 'kept'")
    assert (version.version, version.run_id) == (1, run.info.run_id)
    assert not list(journals_folder().iterdir())


def test_a_password_stays_out_of_the_run_and_the_notebooks(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    declared = 'api_key: str = ""  # secret\naddress: str = ""  # with a password\n'
    path = write_notebook("print(api_key, address)\nassert api_key == 'abc-123-xyz'", parameters=declared)
    done = papermill(
        path,
        "out.ipynb",
        "-p",
        "api_key",
        "abc-123-xyz",
        "-p",
        "address",
        "ftp://me:p4ss%20word@host/x",
        MLFLOW_TRACKING_URI=store,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.data.params == {"api_key": "***", "address": "ftp://me:***@host/x"}
    everything = [done.stderr, (path.parent / "out.ipynb").read_text()]
    everything += [read_artifact(look(), run.info.run_id, name) for name in NOTEBOOK]
    assert not [text for text in everything if any(secret in text for secret in ("abc-123-xyz", "p4ss", "98765432", "hunter22"))]


def test_a_notebook_that_is_not_ours_is_papermills_business(write_notebook: Write, papermill: Papermill, tmp_path: Path) -> None:
    done = papermill(write_notebook("print(nothing)", marked=False), "out.ipynb", "-p", "nothing", 5)
    assert done.returncode == 0, done.stderr
    assert "Passed unknown parameter: nothing" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_refuses_an_output_that_is_a_folder(write_notebook: Write, papermill: Papermill, store: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = papermill(write_notebook("print(x)"), "folder", "-p", "tracking_uri", store)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (
        1,
        f"Error: tiny.ipynb: The output {tmp_path}/folder is a folder. Name a file in it.",
    )


def test_works_from_the_python_api_and_from_a_thread(write_notebook: Write, store: str, look: Look) -> None:
    path = write_notebook("print(x)", "raise ValueError('no')")
    script = f"""
import threading, papermill
def run():
    try:
        papermill.execute_notebook({str(path)!r}, 'api.ipynb', dict(tracking_uri={store!r}), progress_bar=False)
    except papermill.PapermillExecutionError as error:
        print(error.ename)
run()
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=path.parent, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.stdout.split() == ["ValueError", "ValueError"], done.stderr
    assert [run.info.status for run in all_runs(look())] == ["FAILED", "FAILED"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "y", 1], "No parameter 'y'. It takes: x, experiment, run_name, tracking_uri."),
        (["-p", "x", "abc"], "x takes a whole number, not 'abc'."),
        (["-p", "tracking_uri", "sqlite:////no/such/folder/x.db"], "the folder /no/such/folder does not exist"),
        (["-p", "tracking_uri", "http://127.0.0.1:9"], "no server answers"),
        (["-p", "tracking_uri", "gopher://x"], "has an unknown form"),
        (["-p", "tracking_uri", "x.db"], "write sqlite:///"),
        (["-k", "python33"], "No Jupyter kernel 'python33'. Did you mean 'python3'?"),
    ],
)
def test_refuses_before_anything_runs(
    write_notebook: Write, papermill: Papermill, look: Look, tmp_path: Path, options: list[str], message: str
) -> None:
    done = papermill(write_notebook("print(x)"), "new/out.ipynb", *options, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/t.db")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: tiny.ipynb: ")
    assert message in last
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "t.db").exists() or not all_runs(look(f"sqlite:///{tmp_path}/t.db"))


def test_the_default_store_is_the_projects_wherever_the_command_starts(
    write_notebook: Write, papermill: Papermill, tmp_path: Path, look: Look
) -> None:
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    (tmp_path / "elsewhere").mkdir()
    path = write_notebook("print(x)").rename(tmp_path / "project/notebooks/tiny.ipynb")
    for cwd in (tmp_path, tmp_path / "elsewhere"):
        assert papermill(path, tmp_path / "out.ipynb", cwd=cwd).returncode == 0
    assert len(all_runs(look(f"sqlite:///{tmp_path}/project/mlflow.db"))) == 2
    assert {item.name for item in (tmp_path / "project").iterdir()} >= {"mlflow.db", "mlartifacts"}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_papermills_own_tests_pass_as_they_do_without_boostlab(tmp_path: Path) -> None:
    """Run papermill's suite twice, side by side: with the plugin, and with papermill's default engine put back."""
    undo = "from papermill.engines import NBClientEngine, papermill_engines\npapermill_engines.register(None, NBClientEngine)\n"
    (tmp_path / "without_boostlab.py").write_text(undo)
    reports = {tmp_path / "with.xml": [], tmp_path / "without.xml": ["-p", "without_boostlab"]}
    with contextlib.ExitStack() as running:
        for report, options in reports.items():
            running.enter_context(_start_papermill_suite(report, options))
    with_boostlab, without = map(_read_outcomes, reports)
    assert with_boostlab == without
    assert sum(outcome == "passed" for outcome in without.values()) > 400


def _start_papermill_suite(report: Path, options: list[str]) -> subprocess.Popen[bytes]:
    folder = report.with_suffix("")
    folder.mkdir()
    command = [sys.executable, "-m", "pytest", "--pyargs", "papermill", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-c", os.devnull, f"--basetemp={folder / 'tmp'}"]
    command += ["--continue-on-collection-errors"]  # two modules test clouds that need packages of their own
    env = os.environ | {"PYTHONPATH": str(report.parent)}
    return subprocess.Popen([*command, *options], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _read_outcomes(report: Path) -> dict[str, str]:
    kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return {
        f"{case.get('classname')}.{case.get('name')}": next((kinds[child.tag] for child in case if child.tag in kinds), "passed")
        for case in ElementTree.parse(report).getroot().iter("testcase")
    }


def test_the_journal_folder_is_private(write_notebook: Write, start_papermill: Start, store: str) -> None:
    path = write_notebook(SLEEPER)
    start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("pid"))
    (journal,) = journals_folder().iterdir()
    assert journal.stat().st_mode & 0o077 == 0
