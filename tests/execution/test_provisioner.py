"""Forked kernels as Jupyter and papermill start them, without any code of boostlab's in the caller."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from tests.support.executions import Look, Papermill, Write, run_here
from tests.support.kernels import parent, run, run_once, start, wait_for_end

from boostlab.execution import provisioner
from boostlab.execution.forked_kernel import ForkedKernel
from boostlab.execution.template import Template, share_template

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("template")]

PID = "import os; print(os.getpid())"
SLOW = "import time; print('begun', flush=True); time.sleep(600)"


def test_the_kernelspec_is_installed_and_names_the_provisioner() -> None:
    spec = KernelSpecManager().get_kernel_spec("boostlab")
    assert spec.metadata["kernel_provisioner"]["provisioner_name"] == "boostlab-forked"
    assert (spec.display_name, spec.interrupt_mode) == ("Python (boostlab, forked)", "signal")


def test_jupyter_starts_interrupts_restarts_and_stops_a_forked_kernel() -> None:
    async def live() -> tuple[int, int]:
        manager = AsyncKernelManager(kernel_name="boostlab")
        client = await start(manager)
        first = int(await run(client, PID))
        assert parent(first) == share_template().pid
        client.execute(SLOW)
        while (await client.get_iopub_msg())["msg_type"] != "stream":
            pass
        await manager.interrupt_kernel()
        while (reply := await client.get_shell_msg())["content"].get("ename") != "KeyboardInterrupt":
            assert reply["content"]["status"] == "ok"
        await manager.restart_kernel(now=True)
        await client.wait_for_ready()
        second = int(await run(client, PID))
        assert parent(second) == share_template().pid
        client.stop_channels()
        await manager.shutdown_kernel()
        assert not await manager.is_alive()
        return first, second

    first, second = asyncio.run(live())
    assert first != second
    wait_for_end(first, second)
    share_template().close()


def test_a_killed_kernel_is_noticed_by_jupyter() -> None:
    async def live() -> None:
        manager = AsyncKernelManager(kernel_name="boostlab")
        client = await start(manager)
        os.kill(int(await run(client, PID)), signal.SIGKILL)
        while await manager.is_alive():
            await asyncio.sleep(0.05)
        client.stop_channels()
        await manager.cleanup_resources()

    asyncio.run(live())
    share_template().close()


def test_papermill_runs_a_lab_notebook_with_the_kernel(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook("print(x)"), "out.ipynb", "-k", "boostlab", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    (run,) = look().search_runs([look().get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"


def test_the_lab_notebooks_of_one_process_share_its_template(write_notebook: Write, store: str, tmp_path: Path) -> None:
    notebook = write_notebook("import os; print(os.getpid(), os.getppid())")
    pids = []
    for name in ("first.ipynb", "second.ipynb"):
        done = run_here(notebook, tmp_path / name, "-p", "tracking_uri", store)
        assert done.returncode == 0, done.stderr
        (output,) = json.loads((tmp_path / name).read_text())["cells"][-1]["outputs"]
        pids.append([int(pid) for pid in "".join(output["text"]).split()])
    (first, first_parent), (second, second_parent) = pids
    assert first != second and first_parent == second_parent == share_template().pid
    wait_for_end(first, second)
    share_template().close()


def test_papermill_runs_any_notebook_with_the_kernel(write_notebook: Write, papermill: Papermill, tmp_path: Path) -> None:
    code = "import psutil; print(psutil.Process().parent().cmdline())"
    done = papermill(write_notebook(code, marked=False), "out.ipynb", "-k", "boostlab")
    assert done.returncode == 0, done.stderr
    (output,) = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
    assert "boostlab.execution.template_process" in "".join(output["text"])


def test_a_kernelspec_with_options_of_python_gets_an_ordinary_kernel_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kernels" / "utf8"
    folder.mkdir(parents=True)
    own = json.loads((Path(KernelSpecManager().get_kernel_spec("boostlab").resource_dir) / "kernel.json").read_text())
    (folder / "kernel.json").write_text(json.dumps(own | {"argv": [sys.executable, "-Xutf8", *own["argv"][1:]]}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setattr(provisioner, "_told", set())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            manager = AsyncKernelManager(kernel_name="utf8", log=logging.getLogger("test"))
            assert run_once(manager, "import sys; print(sys.flags.utf8_mode)") == "1\n"
    assert len([line for line in caplog.messages if "start without a template" in line]) == 1


def test_an_ordinary_kernel_starts_where_the_template_cannot_fork(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    template = Template(["threaded"])
    kernel = ForkedKernel(template, "python3")
    printed = run_once(kernel.manager(), PID, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert int(printed)
    assert kernel.describe_death() == "The kernel died: it was killed (SIGKILL), as the system does when memory runs out."
    kernel.discard()
    assert not psutil.pid_exists(int(printed))
    template.close()
