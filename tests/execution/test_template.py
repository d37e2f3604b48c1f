"""The template process, and the kernels that it forks."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from tests.support.kernels import forked, parent, run, run_forked, run_once, runs, wait_for_end
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.errors import LabError
from boostlab.execution.courier_template import CourierTemplate
from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.kernel_process import Order
from boostlab.execution.socket_folder import make_folder
from boostlab.execution.template import ForkedProcess, Template

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("template")]

STARTS = int(os.environ.get("BOOSTLAB_TEST_KERNELS", "64"))
AT_ONCE = 32
TRAINING = """
import numpy as np, pandas as pd, threadpoolctl, xgboost as xgb
rows = np.random.default_rng(1).standard_normal((20_000, 20)).astype("float32")
target = rows[:, 0] * rows[:, 1] + rows[:, 2]
booster = xgb.train({"nthread": 2, "max_depth": 4}, xgb.DMatrix(rows, target), 10)
print(booster.predict(xgb.DMatrix(rows)).tobytes().hex()[:4000])
print((rows.T @ rows).tobytes().hex()[:4000])
pools = sorted((pool["user_api"], pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info())
print([pool for pool in pools if pool[0] == "blas"])
"""
DRAWS = (
    "import random, uuid, numpy as np; print(random.random(), np.random.rand(), np.random.default_rng().random(), uuid.uuid4())"
)
FIGURE = "%matplotlib inline\nimport matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); print('shown')"
CHILD = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
FORKED_OWNER = """
import os, sys
from boostlab.execution.socket_folder import make_folder
from boostlab.execution.template import Template
template = Template()
template.start()
folder, pid = make_folder(), template.pid
if not (child := os.fork()):
    sys.exit()
os.waitpid(child, 0)
template.start()
assert folder.is_dir() and template.pid == pid
print("lives")
"""
ORDERS_MORE = """
import os, psutil, subprocess, sys
from boostlab.execution.forking import find_origin
from boostlab.execution.courier_template import CourierTemplate
from boostlab.execution.kernel_process import Order
from boostlab.execution.template import Template
from boostlab.tracking import environment
template, couriers = Template(), CourierTemplate()
process = template.fork(Order(("-f", "/tmp/none.json"), environment.outside(), "/tmp"))
print(template.pid, psutil.Process(process.pid).ppid(), len([child for child in psutil.Process().children()]))
process.close()
with couriers.start_courier() as courier:
    print(type(courier).__name__, couriers.pid)
    courier.kill()
found = template.pid
template.start(environment.outside() | {"FOO": "1"})  # what it has loaded may differ
print(template.pid not in (None, found))
template.close()
ask = "from boostlab.execution.forking import find_origin; print(find_origin())"
print(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout)  # it may outlive this kernel
if not (child := os.fork()):
    os._exit(find_origin() is not None)
print(os.waitpid(child, 0)[1])
"""
NEVER_READY = """
import os, psutil, time
from boostlab.execution import forking
from boostlab.execution.template import Template
forking.END_TIMEOUT_S = 600
template = Template(["endless"])
template.start_ahead(os.environ)
while not psutil.Process().children():
    time.sleep(0.01)
"""
CANCELLED = """
import os, signal
from boostlab.execution import forking
from boostlab.execution.courier_template import CourierTemplate
forking.END_TIMEOUT_S = 600
couriers = CourierTemplate()
courier = couriers.start_courier(forks_first=True)
os.kill(couriers.pid, signal.SIGSTOP)
courier.kill()
"""
THREADS = "print(open('/proc/self/status').read().split('Threads:')[1].split()[0])"


@pytest.fixture(autouse=True)
def _one_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all tests one state folder: with another environment, the shared template would start anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    made = Template()
    yield made
    made.close()


def order(template_env: dict[str, str] | None = None, folder: Path = Path("/tmp")) -> Order:
    """Return an order for a kernel that nobody talks to."""
    return Order(("-f", str(folder / "connection.json")), template_env or dict(os.environ), str(folder))


def test_a_forked_kernel_computes_what_an_ordinary_one_computes_with_as_many_threads(template: Template) -> None:
    printed = run_forked(template, TRAINING + THREADS)
    ordinary = run_once(AsyncKernelManager(kernel_name="python3", transport_encryption="auto"), TRAINING + THREADS)
    assert printed.splitlines()[:3] == ordinary.splitlines()[:3]
    assert int(printed.splitlines()[3]) > 1


def test_a_forked_kernel_has_the_threads_that_its_environment_asks_for(template: Template) -> None:
    code = "import threadpoolctl; print({pool['user_api']: pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    for threads in ("1", "3"):
        printed = run_forked(template, code, env=os.environ | {"OMP_NUM_THREADS": threads})
        assert printed.strip() in (f"{{'blas': {threads}, 'openmp': {threads}}}", f"{{'openmp': {threads}, 'blas': {threads}}}")


def test_a_forked_kernel_orders_kernels_and_couriers_from_the_processes_that_forked_its_own(template: Template) -> None:
    couriers = CourierTemplate()
    with couriers.start_courier(forks_first=True) as courier:
        assert courier.stdout is not None and "started" in courier.stdout.readline()
    template.start()
    printed = run_forked(template, ORDERS_MORE).split()
    assert printed == [*[str(template.pid)] * 2, "0", "ForkedCourier", str(couriers.pid), "True", "None", "0"]
    assert run_forked(template, "print('lives')") == "lives\n"


def test_forked_kernels_draw_different_random_numbers(template: Template) -> None:
    draws = [run_forked(template, DRAWS).split() for _ in range(2)]
    assert len(draws[0]) == 4
    assert not set(draws[0]) & set(draws[1])


def test_a_forked_kernel_has_the_environment_and_the_folder_of_its_order(template: Template, tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['MLFLOW_RUN_ID'], os.environ.get('OPENBLAS_NUM_THREADS'))"
    env = os.environ | {"MLFLOW_RUN_ID": "some run"}
    printed = run_forked(template, code, cwd=str(tmp_path), env=env)
    assert printed.split() == [str(tmp_path), "some", "run", "None"]


def test_a_forked_kernel_draws_and_knows_only_its_own_modules_as_the_debuggers(template: Template) -> None:
    own = "names = get_ipython().kernel._kernel_modules\nprint(any('/pandas/' in name for name in names), len(names) > 100)"
    printed = run_forked(template, f"{FIGURE}\n{own}\nimport sys; print(type(sys.modules) is dict)")
    assert printed.split() == ["shown", "False", "True", "True"]


def test_the_sockets_of_a_kernel_lie_in_a_private_folder_that_is_removed(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # too long for a socket
    kernel = ForkedKernel(template, "python3")
    manager = kernel.manager()
    folder = Path(manager.connection_file).parent
    assert len(f"{manager.ip}-1") <= 107
    assert folder.stat().st_mode & 0o077 == 0
    assert run_once(manager, "print(1)") == "1\n"
    kernel.discard()
    assert not folder.exists()


def test_refuses_to_fork_with_a_second_thread(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    template = Template(["threaded"])
    with pytest.raises(LabError, match=r"2 threads, and only a process of one thread can be forked"):
        template.fork(order(os.environ | {"PYTHONPATH": str(tmp_path), "LONG": "x" * 100_000}))
    template.close()


def test_says_that_the_template_cannot_be_started() -> None:
    template = Template()
    with pytest.raises(LabError, match="cannot be started"):
        template.start(os.environ | {"PYTHONHOME": "/nowhere"})


def test_another_environment_starts_another_template_and_running_kernels_go_on() -> None:
    template = Template()
    before = template.fork(order())
    first = template.pid
    assert first is not None
    template.fork(order(os.environ | {"MLFLOW_RUN_ID": "a", "JPY_SESSION_NAME": "b", "OLDPWD": "c"})).close()
    assert template.pid == first
    template.fork(order(os.environ | {"OMP_NUM_THREADS": "1"})).close()
    assert template.pid != first
    assert before.poll() is None
    assert runs(first)
    before.kill()
    assert before.wait(60) == -signal.SIGKILL
    del before
    wait_for_end(first)
    template.close()


def test_a_changed_library_starts_another_template(tmp_path: Path) -> None:
    template, env = Template(), os.environ | {"PYTHONPATH": str(tmp_path)}
    template.start(env)
    first = template.pid
    template.start(env)
    assert template.pid == first
    (tmp_path / "library.py").touch()
    template.start(env)
    assert template.pid not in (None, first)
    template.close()


def test_what_a_process_inherits_starts_another_template() -> None:
    template = Template()
    template.start()
    first, before = template.pid, os.umask(0o077)
    try:
        printed = run_forked(template, "import os; print(os.umask(0))")
    finally:
        os.umask(before)
    assert printed.strip() == str(0o077) and template.pid != first
    template.close()


@pytest.mark.parametrize("script", [NEVER_READY, CANCELLED])
def test_the_end_does_not_wait_for_a_process_that_nobody_needs(tmp_path: Path, script: str) -> None:
    (tmp_path / "endless.py").write_text("import time; time.sleep(600)")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", script], env=env, timeout=TIMEOUT_S, check=False).returncode == 0


def test_a_killed_kernel_leaves_no_process_behind(template: Template) -> None:
    async def kill_one() -> int:
        async with forked(template) as (kernel, client):
            printed = await run(client, f"{CHILD}; import os; print(os.getpid())")
            child, pid = map(int, printed.split())
            os.kill(pid, signal.SIGKILL)
            wait_for_end(pid, child)
            wait_until(lambda: "SIGKILL" in kernel.describe_death())
            return pid

    pid = asyncio.run(kill_one())
    wait_until(lambda: not psutil.pid_exists(pid))


def test_tells_how_a_kernel_ended(template: Template) -> None:
    async def end_one() -> str:
        async with forked(template) as (kernel, client):
            client.execute("import os; os._exit(7)")
            wait_until(lambda: "status" in kernel.describe_death())
        return kernel.describe_death()

    assert asyncio.run(end_one()) == "The kernel died: it exited with status 7."


def test_discard_kills_a_running_kernel_and_what_it_started(template: Template) -> None:
    wait_for_end(int(run_forked(template, CHILD)))


def test_a_killed_template_takes_its_kernels_along_and_is_replaced() -> None:
    template = Template()
    process = template.fork(order())
    assert template.pid is not None
    os.kill(template.pid, signal.SIGKILL)
    wait_for_end(process.pid)
    assert process.wait(60) == -signal.SIGKILL
    another = template.fork(order())
    assert parent(another.pid) == template.pid
    template.close()
    wait_for_end(another.pid)


def test_a_kernel_that_nobody_holds_is_killed() -> None:
    template = Template()
    process = template.fork(order())
    pid = process.pid
    del process
    wait_until(lambda: not psutil.pid_exists(pid))
    template.close()


def test_a_killed_owner_takes_all_along() -> None:
    script = """
import asyncio, sys, time
from boostlab.execution.template import Template
from tests.support.kernels import forked, run
template = Template()
async def main():
    async with forked(template) as (_, client):
        code = "import os, subprocess; print(os.getpid(), subprocess.Popen(['sleep', '600']).pid)"
        print(template.pid, await run(client, code), end="", flush=True)
        time.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 3
        assert all(runs(pid) for pid in pids)
        owner.kill()
        wait_for_end(*pids)


def test_a_forked_owner_leaves_all_to_its_parent() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED_OWNER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


def test_a_removed_folder_is_made_again(template: Template) -> None:
    template.start()
    shutil.rmtree(make_folder().parent)
    assert run_forked(template, "print('runs')") == "runs\n"


def test_a_replaced_template_ends_with_its_last_kernel() -> None:
    template = Template()
    process = template.fork(order())
    replaced = template.pid
    template.start(os.environ | {"FOO": "1"})
    assert replaced is not None and template.pid != replaced and runs(replaced)
    process.kill()
    process.wait()
    wait_for_end(replaced)
    template.close()


def test_many_threads_fork_at_the_same_time(template: Template) -> None:
    async def fork_all() -> list[ForkedProcess]:
        return await asyncio.gather(*(asyncio.to_thread(template.fork, order()) for _ in range(16)))

    processes = asyncio.run(fork_all())
    assert len({process.pid for process in processes}) == 16
    assert {parent(process.pid) for process in processes} == {template.pid}
    for process in processes:
        process.close()


def test_every_one_of_many_kernels_starts(template: Template) -> None:
    async def start_one(number: int, places: asyncio.Semaphore) -> str:
        async with places, forked(template) as (_, client):
            return (await run(client, f"print({number})")).strip()

    async def start_all() -> list[str]:
        places = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(start_one(number, places) for number in range(STARTS)))

    assert asyncio.run(start_all()) == [str(number) for number in range(STARTS)]
