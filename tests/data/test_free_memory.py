"""The memory that is free: for the machine, in control groups of both versions, and by the process's own limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from boostlab.data.free_memory import find_free_memory


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_counts_pages_of_files_as_free_in_version_2(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1\n",
            "sys/fs/cgroup/kubepods/pod1/memory.max": "max\n",
            "sys/fs/cgroup/kubepods/pod1/memory.current": "9000\n",
            "sys/fs/cgroup/kubepods/memory.max": "10000\n",
            "sys/fs/cgroup/kubepods/memory.current": "9500\n",
            "sys/fs/cgroup/kubepods/memory.stat": "anon 4000\ninactive_file 3000\nactive_file 1000\n",
        },
    )
    free = find_free_memory(tmp_path)
    assert free.size == 10_000 - (9_500 - 4_000)
    assert free.limit == "the control group"


@pytest.mark.parametrize("path", ["/docker/abc", "/"])  # a container does not see its path
def test_reads_version_1(path: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": f"5:cpu,cpuacct:{path}\n4:memory:{path}\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "400000\n",
            "sys/fs/cgroup/memory/memory.stat": "cache 1\ninactive_file 1\ntotal_inactive_file 100000\ntotal_active_file 0\n",
        },
    )
    assert find_free_memory(tmp_path).size == 1_000_000 - 300_000


def test_a_group_without_a_limit_leaves_what_the_machine_has(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "400000\n",
        },
    )
    assert find_free_memory(tmp_path).limit == "the machine"
    assert find_free_memory(tmp_path / "nowhere").limit == "the machine"


@pytest.mark.parametrize(("kind", "option"), [("RLIMIT_DATA", "-d"), ("RLIMIT_AS", "-v")])
def test_reads_the_limits_of_the_process(kind: str, option: str) -> None:
    code = (
        "import resource; from boostlab.data.free_memory import find_free_memory; "
        f"resource.setrlimit(resource.{kind}, (2_000_000_000,) * 2); "
        "free = find_free_memory(); print(free.limit); print(free.size)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert printed[0] == f"ulimit {option}"
    assert 1_000_000_000 < int(printed[1]) < 2_000_000_000
