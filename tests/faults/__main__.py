"""Replay the scenario with faults, and report what is violated.

python -m tests.faults                       all points, against a SQLite store and against a server
python -m tests.faults --sample 300 --seed 1 a random sample
python -m tests.faults --write               also write the table of docs/faults.md
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import requests
from tests.support.servers import free_port

from .injection import Point
from .replay import Replays, all_faults, sample

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
MEMORY = Path("/dev/shm")  # a disk would make each commit wait


@click.command()
@click.option("--store", "stores", multiple=True, type=click.Choice(["sqlite", "server"]), help="Default: both.")
@click.option("--sample", "count", type=int, default=0, help="Number of points of each store; default: all.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the sample.")
@click.option("--share", default="1/1", show_default=True, help="Only a share of the points: 2/4 is the second of four.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, show_default=True, help="Replays side by side.")
@click.option("--write", is_flag=True, help="Write the table into docs/faults.md.")
def main(stores: tuple[str, ...], count: int, seed: int, share: str, jobs: int, write: bool) -> None:
    """Replay the scenario with faults, and report what is violated."""
    part, parts = map(int, share.split("/"))
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    tables, violated = [], 0
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="faults-") as folder:
        empty = _make_empty(Path(folder))
        for store in stores or ("sqlite", "server"):
            own = Path(folder) / store
            own.mkdir()
            with _address(store, own, empty) as address:
                replays = Replays(own, empty, address=address)
                operations = [point for point in replays.trace() if not address or point.kind != "sql"]
                points = list(all_faults(operations))
                chosen = (sample(points, count, seed) if count else points)[part - 1 :: parts]
                click.echo(f"{store}: {len(operations)} operations, {len(points)} points, {len(chosen)} replays")
                problems = _replay_all(replays, chosen, jobs, own)
            for point, found in problems:
                click.echo(f"{store} · {point}: {'; '.join(found)}")
            violated += len(problems)
            tables.append(_tabulate(store, operations, points, chosen, problems))
    if write:
        _write(tables, f"a sample of {count} points with seed {seed}" if count else "all points")
    click.echo(f"{violated} of the replays violate a promise.")
    sys.exit(bool(violated))


def _replay_all(replays: Replays, points: list[Point], jobs: int, folder: Path) -> list[tuple[Point, list[str]]]:
    """Replay points in forked processes, and return those with problems."""
    start, workers = time.monotonic(), []
    for job in range(jobs):
        pid = os.fork()
        if not pid:
            with (folder / f"job-{job}").open("w", buffering=1) as found:
                for number in range(job, len(points), jobs):
                    found.write(json.dumps([number, replays.replay(points[number])]) + "\n")
            os._exit(0)
        workers.append(pid)
    while workers:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        workers = [worker for worker in workers if worker != pid]
        done = sum(len(found.read_text().splitlines()) for found in folder.glob("job-*"))
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {len(points)} after {time.monotonic() - start:.0f} s ", nl=False, err=True)
        time.sleep(0.2)
    lines = [line for job in range(jobs) for line in (folder / f"job-{job}").read_text().splitlines()]
    assert len(lines) == len(points), "a worker died"
    return [(points[number], found) for number, found in sorted(map(json.loads, lines)) if found]


def _make_empty(folder: Path) -> Path:
    """Make an empty store in a process of its own: this one must not open a database before it forks."""
    database = folder / "empty" / "mlflow.db"
    database.parent.mkdir()
    code = "import sys; from pathlib import Path; from boostlab.tracking import find_store, open_store; "
    code += "open_store(find_store(f'sqlite:///{sys.argv[1]}', project=Path('.')))"
    subprocess.run([sys.executable, "-c", code, database], check=True)
    return database


@contextmanager
def _address(store: str, folder: Path, empty: Path) -> Iterator[str]:
    """Serve a store, if it is to be a server's, and yield its address; empty for SQLite."""
    if store == "sqlite":
        yield ""
        return
    served = folder / "served"
    served.mkdir()
    shutil.copy(empty, served)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    kept = ["--backend-store-uri", f"sqlite:///{served}/mlflow.db", "--artifacts-destination", str(served / "kept")]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "XDG_STATE_HOME": str(served / "state")}
    process = subprocess.Popen([*command, *kept], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _tabulate(
    store: str, operations: list[Point], points: list[Point], chosen: list[Point], problems: list[tuple[Point, list[str]]]
) -> str:
    by = [Counter((point.role, point.kind) for point in part) for part in (operations, points, chosen, [p for p, _ in problems])]
    rows = [
        f"| {role} | {kind} | {' | '.join(f'{count[role, kind]:,}' for count in by)} |"
        for role, kind in sorted(by[0], key=lambda key: (ROLES.index(key[0]) if key[0] in ROLES else len(ROLES), key[1]))
    ]
    total = " | ".join(f"{sum(count.values()):,}" for count in by)
    head = "| process | kind | operations | points | replayed | violations |\n| --- | --- | ---: | ---: | ---: | ---: |"
    return "\n".join([f"### {TITLES[store]}\n", head, *rows, f"| all | | {total} |"])


def _write(tables: list[str], what: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- table -->")
    _, _, after = rest.partition("<!-- /table -->")
    made = "\n\n".join([*tables, f"Made by `python -m tests.faults --write`: {what}."])
    PAGE.write_text(f"{before}<!-- table -->\n{made}\n<!-- /table -->{after}", encoding="utf-8")


ROLES = ("owner", "kernel", "courier", "registrar")
TITLES = {"sqlite": "A SQLite store", "server": "An MLflow server"}

if __name__ == "__main__":
    main()
