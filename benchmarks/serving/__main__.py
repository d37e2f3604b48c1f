"""Measure three images with the same model, machine, requests and clients: stock MLflow, adjusted MLflow, and lean.

Run as ``python -m benchmarks.serving [--repeat N] [--seconds S] [--readme]``; needs a Docker engine. The stock image is what
``mlflow models build-docker --env-manager local`` builds, run as MLflow's documentation says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import print_table
from tests.support.settings import make_settings
from boostlab.deployment import docker_images as builds
from boostlab.deployment import docker_containers as containers
from boostlab.data.columns import profile_columns
from boostlab.data.table import load_table
from boostlab.deployment.context import write_stock, write_context
from boostlab.deployment.service import START_TIMEOUT_S
from boostlab.deployment.load_test import run_load_test
from boostlab.models.packaging import package_model, write_model
from boostlab.data.splits import split_table
from boostlab.training.fit import fit_booster

BASE = f"python:{platform.python_version()}-slim"
KINDS = ("stock", "adjusted", "lean")
SETTINGS = {  # clients, rows
    "1 client, 1 row": (1, 1),
    "8 clients, 1 row": (8, 1),
    "32 clients, 1 row": (32, 1),
    "1 client, 1,000 rows": (1, 1000),
}
TARGETS = {  # for lean / stock
    "size over the base": "at most 0.15",
    "whole image": "at most 0.25",
    "start to first answer": "lean: at most 0.4 s",
    "8 clients, 1 row: CPU per request": "lean: at most 0.05 ms",
    "8 clients, 1 row: requests/s": "at least 40",
    "32 clients, 1 row: p99": "at most 0.03",
    "1 client, 1,000 rows: requests/s": "at least 12",
}


def main() -> None:
    """Build the images, measure each in each round, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    engine = containers.connect_engine()
    with tempfile.TemporaryDirectory() as temporary:
        model, rows = make_model(Path(temporary))
        for kind in KINDS:
            print(f"building the {kind} image …", flush=True)
            builds.build_image(engine, write(kind, model, Path(temporary) / kind), tag(kind))
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(given.repeat):
        for kind in KINDS:  # alternating, so that other load on the machine affects all of them
            print(f"round {number + 1}: {kind} …", flush=True)
            found[kind].append(measure(engine, kind, rows, seconds=given.seconds))
    medians = {
        kind: {name: statistics.median(one[name] for one in measured) for name in measured[0]} for kind, measured in found.items()
    }
    print_table("serving", tabulate(medians), rounds=given.repeat, readme=given.readme)


def make_model(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Train on scikit-learn's diabetes data. Return the model's folder and 1,000 rows."""
    from mlflow.models import Model

    settings = make_settings(num_boost_round=100)
    split = split_table(load_table(settings), settings)
    fit = fit_booster(split, profile_columns(split), settings)
    write_model(fit.predictor, split.train.head(5), folder / "parts")
    package_model(folder / "parts", folder / "model", mlflow_model=Model())
    records = json.loads(split.train.head(200).to_json(orient="records", double_precision=15))
    return folder / "model", records * 5


def write(kind: str, model: Path, folder: Path) -> Path:
    """Write the build context of one kind of image."""
    if kind == "stock":
        folder.mkdir()
        write_stock(model, folder, BASE)
    else:
        write_context("lean" if kind == "lean" else "mlflow", model, folder, labels={})
    return folder


def tag(kind: str) -> str:
    """Return the name of an image."""
    return f"boostlab-benchmark:{kind}"


def measure(engine: Any, kind: str, rows: list[dict[str, Any]], *, seconds: float) -> dict[str, float]:
    """Measure one image and return its figures."""
    size = engine.images.get(tag(kind)).attrs["Size"]
    found = {"size over the base": (size - engine.images.get(BASE).attrs["Size"]) / 1e6, "whole image": size / 1e6}
    with running(engine, kind) as (container, address, start_s):
        found["start to first answer"] = start_s
        for name, (clients, count) in SETTINGS.items():
            body = json.dumps({"dataframe_records": rows[:count]}).encode()
            run_load_test(f"{address}/invocations", body, clients=clients, seconds=1)
            before = cpu_s(container)
            load = run_load_test(f"{address}/invocations", body, clients=clients, seconds=seconds)
            found[f"{name}: CPU per request"] = (cpu_s(container) - before) / len(load.latencies_s) * 1000
            assert set(load.statuses) == {200}, load.statuses
            found[f"{name}: requests/s"] = load.per_second
            found[f"{name}: p50"] = load.percentile_ms(0.5)
            found[f"{name}: p99"] = load.percentile_ms(0.99)
        memory = container.stats(stream=False)["memory_stats"]
        found["memory"] = (memory["usage"] - memory["stats"].get("inactive_file", 0)) / 1e6
    return found


@contextmanager
def running(engine: Any, kind: str) -> Iterator[tuple[Any, str, float]]:
    """Run an image and yield the container, its address and the seconds to the first answer. The stock image runs as root."""
    started = time.monotonic()
    options = {} if kind == "stock" else containers.HARDENED
    labels = {containers.OWNER_LABEL: str(os.getpid())}
    container = engine.containers.run(tag(kind), detach=True, labels=labels, **options)
    try:
        container.reload()
        # Not through the engine's proxy, which would be measured too.
        address = f"http://{container.attrs['NetworkSettings']['IPAddress']}:8080"
        while not answers(address):
            assert time.monotonic() - started < START_TIMEOUT_S, container.logs()
            time.sleep(0.02)
        yield container, address, time.monotonic() - started
    finally:
        container.remove(force=True, v=True)


def cpu_s(container: Any) -> float:
    """Return the processor time of a container in seconds; other work on the machine hardly changes it."""
    return float(container.stats(stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def answers(address: str) -> bool:
    """Return whether the server answers ``/ping``; MLflow's stock image hides ``/health``."""
    try:
        with urllib.request.urlopen(f"{address}/ping", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def tabulate(medians: dict[str, dict[str, float]]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| | stock MLflow image | adjusted by boostlab | lean | lean / stock | target |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in medians["stock"]:
        values = [medians[kind][name] for kind in KINDS]
        unit = "ms" if name.endswith(("p50", "p99", "CPU per request")) else {"start to first answer": "s"}.get(name, "MB")
        unit = "" if name.endswith("requests/s") else f" {unit}"
        digits = 3 if name.endswith("CPU per request") else 2 if unit == " s" else 1
        shown = " | ".join(f"{value:,.{digits}f}{unit}" if value < 100 else f"{value:,.0f}{unit}" for value in values)
        lines.append(f"| {name} | {shown} | {values[2] / values[0]:.2f} | {TARGETS.get(name, '')} |")
    return lines


if __name__ == "__main__":
    main()
