"""Trainings side by side, each with its share of the cores: none has an effect on the result of another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from boostlab.display.progress import StepProgress
from boostlab.training.callbacks import Watch, watched
from boostlab.training.settings import Train

Job = TypeVar("Job")
Result = TypeVar("Result")


def train_side_by_side(
    train: Callable[[Job, Train, Watch], Result],
    jobs: Sequence[Job],
    settings: Train,
    *,
    name: str,
    unit: str,
    use: Callable[[int, Result], None] = lambda _place, _result: None,
) -> list[Result]:
    """Return what `train` returns for each job, in the order of the jobs.

    The settings that it gets have the threads of one training. `name` says what all of them are, and `unit` what each of them is.
    In this thread, `use` gets the place and the result of each job, in their order, as soon as the jobs before it are done too.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; the results so far are dropped.
    """
    side_by_side, threads = share_cores(len(jobs), settings)
    own = settings.model_copy(update={"nthread": threads})
    progress = StepProgress(len(jobs), unit)
    with watched() as watch, ThreadPoolExecutor(side_by_side) as pool:

        def train_unless_stopped(job: Job) -> Result:
            if watch.stop.is_set():
                raise KeyboardInterrupt(f"the {name} was interrupted")
            return train(job, own, watch)

        trained = [pool.submit(train_unless_stopped, job) for job in jobs]
        _wait(trained, watch, progress, use)
        if watch.stop.is_set():
            raise KeyboardInterrupt(f"the {name} was interrupted")
    return [future.result() for future in trained]


def share_cores(count: int, settings: Train) -> tuple[int, int]:
    """Return how many trainings run side by side, and the threads of each: together at most the cores that this process has.

    On workers, and on a GPU, they run one after the other: each uses all of it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if settings.is_distributed or not settings.device.startswith("cpu"):
        return 1, settings.nthread
    side_by_side = max(1, min(count, cores // settings.nthread if settings.nthread else cores))
    return side_by_side, settings.nthread or max(1, cores // side_by_side)


def _wait(trained: Sequence[Future[Any]], watch: Watch, progress: StepProgress, use: Callable[[int, Any], None]) -> None:
    """Show each training that is done; after an error, let the others end with their present round."""
    used = 0
    try:
        for future in as_completed(trained):
            future.result()
            progress.add()
            while used < len(trained) and trained[used].done():
                use(used, trained[used].result())
                used += 1
    except BaseException:
        watch.stop.set()
        raise
