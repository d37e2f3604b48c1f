"""Training on the workers of a Dask cluster, which share the rows of the table.

XGBoost does not survive the loss of a worker. So the scheduler keeps the model so far, and after a loss the training goes on
from there, on the workers that are left.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import queue
import tempfile
import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xgboost as xgb
import xgboost.dask
from distributed import Client, Future

from boostlab.cluster import check_versions, connect, count_cores, read_versions
from boostlab.data.splits import Part
from boostlab.errors import TrainingError
from boostlab.evaluation.losses import LOSSES, find_loss
from boostlab.models.contract import Contract
from boostlab.training.boosting import Boosting, History
from boostlab.training.callbacks import Refuser, Watch, refuse_undefined
from boostlab.training.choice import NATIVE_METRICS
from boostlab.training.objectives import OBJECTIVES
from boostlab.training.on_worker import Channel, Follower, MeanLoss
from boostlab.training.settings import Train
from boostlab.training.shares import make_sample, share_part

POLL_S = 0.1
SAMPLE_ROWS = 1_000
CHECK_S = 1.0  # between two looks at the workers
LEAVE_S = 5.0  # in which XGBoost notices by itself that a worker is gone
MEET_S = 30  # for all workers to begin, once their rows are there; or for a first worker to come back
MOST_LOSSES = 20
REMEDY = "Start the cluster again, and run the same command."


def boost_on_workers(
    train: Part,
    valid: Part,
    contract: Contract,
    params: Mapping[str, Any],
    settings: Train,
    *,
    watch: Watch,
    callbacks: Sequence[xgb.callback.TrainingCallback],
    folder: Path | None,
) -> Boosting:
    """Train on the workers that the settings name; see :func:`boostlab.training.fit.fit_booster`.

    Parameters
    ----------
    callbacks : sequence of xgboost.callback.TrainingCallback
        Called in this process after each round, without the model.
    folder : pathlib.Path or None
        Where workers of this machine may keep files; None: the system's folder of temporary files.

    Raises
    ------
    TrainingError
        If XGBoost cannot compute the metric on shares of the rows, refuses a parameter, or the cluster is lost.
    LabError
        If the scheduler cannot be reached, or its workers have other versions.
    """
    _check_metric(contract, params)
    _try_round(train, contract, params, watch)
    threads = settings.nthread or max(1, count_cores() // max(1, settings.workers))
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=folder) as own,
        connect(settings.scheduler, n_workers=settings.workers, threads=threads, folder=Path(own)) as client,
    ):
        for address, versions in client.run(read_versions, on_error="return").items():
            if not isinstance(versions, OSError):  # it has gone meanwhile
                check_versions(versions, where=f"The worker {address}")
        training = _Training(client, train, valid, contract, params, settings, watch, [_Guard(contract.metric), *callbacks])
        return training.run()


def _check_metric(contract: Contract, params: Mapping[str, Any]) -> None:
    """Refuse a metric that cannot be put together from shares of the rows."""
    if "eval_metric" in params or find_loss(contract.metric):
        return
    objective = params["objective"]
    family = objective.partition(":")[0]
    fitting = [name for name in OBJECTIVES[objective].metrics if (family, name) in NATIVE_METRICS or name in LOSSES]
    raise TrainingError(
        f"The metric {contract.metric} needs all rows of a part in one process, and the workers have shares of them. "
        f"Choose {' or '.join(fitting)}, or train without workers."
    )


def _try_round(train: Part, contract: Contract, params: Mapping[str, Any], watch: Watch) -> None:
    """Let XGBoost refuse the parameters here, where its warnings are seen, before the rows are sent."""
    sample = make_sample(train, contract, SAMPLE_ROWS)
    xgb.train({**params, "device": "cpu"}, sample, num_boost_round=1, verbose_eval=False, callbacks=[Refuser(watch.warned)])


class _LossError(Exception):
    """Workers were lost.

    Parameters
    ----------
    workers : collection of str
        Their addresses.
    """

    def __init__(self, workers: Collection[str]) -> None:
        super().__init__(*workers)
        self.workers = workers


class _Guard(xgb.callback.TrainingCallback):
    """Refuses a metric that is not defined, after the first round."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        refuse_undefined(self._metric, evals_log["valid"][self._metric][0])
        return False


def _list_workers(client: Client) -> list[str]:
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


@dataclass
class _Training:
    """A training on a cluster: attempts, each on the workers that are there, until one ends."""

    client: Client
    train: Part
    valid: Part
    contract: Contract
    params: Mapping[str, Any]
    settings: Train
    watch: Watch
    callbacks: Sequence[xgb.callback.TrainingCallback]
    name: str = field(default_factory=lambda: f"boostlab-{uuid.uuid4().hex}")
    history: dict[str, dict[str, list[float]]] = field(default_factory=dict)  #: of all rounds so far
    losses: list[str] = field(default_factory=list)  #: in sentences
    lost: set[str] = field(default_factory=set)  #: addresses of workers
    attempt: int = 0

    def __post_init__(self) -> None:
        self.channel = Channel(self.name, self.client)

    def run(self) -> Boosting:
        try:
            return self._run()
        finally:
            with contextlib.suppress(Exception):  # such as a lost scheduler
                self.client.unsubscribe_topic(self.name)
                self.channel.clear()

    def _run(self) -> Boosting:
        self.channel.keep(b"", 0)
        events: queue.Queue[Any] = queue.Queue()
        self.client.subscribe_topic(self.name, lambda event: events.put(event[1]))
        for callback in self.callbacks:
            callback.before_training(None)
        started = time.perf_counter()
        while True:
            workers = self._find_workers()
            model, done = self.channel.read()
            self._forget(done)
            self.attempt += 1
            try:
                booster = self._attempt(workers, model, done, events)
                break
            except _LossError as loss:
                self._note(loss)
        duration_s = time.perf_counter() - started
        for callback in self.callbacks:
            callback.after_training(None)
        where = f"of {self.settings.scheduler}" if self.settings.scheduler else "on this machine"
        note = " ".join([f"Trained on {len(workers)} worker{'s' if len(workers) > 1 else ''} {where}.", *self.losses])
        return Boosting(booster, self.history, duration_s, note)

    def _attempt(self, workers: Sequence[str], model: bytes, done: int, events: queue.Queue[Any]) -> xgb.Booster:
        """Train from a checkpoint to the end, on the given workers."""
        result: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def work() -> None:
            try:
                result.set_result(self._train(workers, model, done))
            except BaseException as error:  # it is raised where it is waited for
                result.set_exception(error)

        threading.Thread(target=work, name="boostlab-distributed", daemon=True).start()
        try:
            checked, lost_at = time.monotonic(), float("inf")
            while not result.done() or not events.empty():
                with contextlib.suppress(queue.Empty):
                    self._follow(events.get(timeout=POLL_S))
                now = time.monotonic()
                if now - checked > CHECK_S:
                    checked = now
                    if self.watch.stop.is_set():
                        self.channel.ask_to_stop()
                    if self._are_there(workers):
                        lost_at = float("inf")
                    elif (lost_at := min(lost_at, now)) < now - LEAVE_S:  # XGBoost waits for a worker that will never come
                        self.client.cancel([Future(key, self.client) for key in list(self.client.futures)])
        except BaseException:
            self.channel.ask_to_stop()
            with contextlib.suppress(Exception):
                result.exception()
            raise
        error = result.exception()
        if error is None:
            trained = result.result()
            self._keep(trained["history"], done)
            booster: xgb.Booster = trained["booster"]
            return booster
        if isinstance(error, Exception) and (lost := self._find_lost(workers)):
            raise _LossError(lost) from error
        raise error

    def _train(self, workers: Sequence[str], model: bytes, done: int) -> dict[str, Any]:
        with self.client.as_current():  # XGBoost asks for it
            few = workers[: min(len(self.train), len(self.valid))]
            train = share_part(self.client, self.train, self.contract, self.params, workers=few)
            like = train if isinstance(train, xgboost.dask.DaskQuantileDMatrix) else None
            valid = share_part(self.client, self.valid, self.contract, self.params, workers=few, like=like)
            metric, patience = self.contract.metric, self.settings.early_stopping_rounds
            earlier = self.history.get("valid", {}).get(metric, [])
            follow = Follower(self.name, self.attempt, metric, earlier, patience=patience)
            trained: dict[str, Any] = xgboost.dask.train(
                self.client,
                {**self.params, "nthread": self.settings.nthread},
                train,
                num_boost_round=self.settings.num_boost_round - done,
                evals=[(train, "train"), (valid, "valid")],
                xgb_model=xgb.Booster(model_file=bytearray(model)) if model else None,
                verbose_eval=False,
                coll_cfg=xgb.collective.Config(tracker_timeout=MEET_S),
                custom_metric=None if "eval_metric" in self.params else MeanLoss(self.contract),
                callbacks=[follow],
            )
        return trained

    def _follow(self, event: Mapping[str, Any]) -> None:
        """Take the metrics of a round, and let the callbacks see them."""
        if event["attempt"] != self.attempt:
            return
        for part, value in event["values"].items():
            self.history.setdefault(part, {}).setdefault(self.contract.metric, []).append(value)
        for callback in self.callbacks:
            callback.after_iteration(None, event["round"], self.history)

    def _keep(self, trained: History, done: int) -> None:
        """Take the exact history of the last attempt, which is behind the `done` rounds before it."""
        for part, lines in trained.items():
            (values,) = lines.values()
            self.history.setdefault(part, {})[self.contract.metric] = [
                *self.history.get(part, {}).get(self.contract.metric, [])[:done],
                *map(float, values),
            ]

    def _forget(self, done: int) -> None:
        """Drop the metrics of rounds that are lost."""
        self.history = {part: {name: line[:done] for name, line in lines.items()} for part, lines in self.history.items()}

    def _find_workers(self) -> list[str]:
        try:
            self.client.wait_for_workers(1, timeout=MEET_S)
        except (TimeoutError, OSError):
            raise TrainingError(f"The cluster has no worker any more. {' '.join(self.losses)} {REMEDY}".strip()) from None
        return [worker for worker in _list_workers(self.client) if worker not in self.lost]

    def _are_there(self, workers: Sequence[str]) -> bool:
        """Tell whether the scheduler still knows all these workers; an unreachable scheduler is no answer."""
        try:
            return self.client.status != "running" or set(workers) <= set(_list_workers(self.client))
        except OSError:
            return True

    def _find_lost(self, workers: Sequence[str]) -> set[str]:
        """Return the workers that do not answer; the scheduler may know it only a moment after XGBoost."""
        try:
            if self.client.status == "running":
                return set(workers) - set(self.client.run(os.getpid, workers=list(workers), on_error="ignore"))
        except OSError:
            pass
        raise TrainingError(f"The scheduler {self.settings.scheduler} was lost in the training. {REMEDY}")

    def _note(self, loss: _LossError) -> None:
        self.lost |= set(loss.workers)
        rounds = len(next(iter(self.history.get("valid", {}).values()), []))
        self.losses.append(
            f"The worker {' and '.join(sorted(loss.workers))} was lost after round {rounds}: the training went on from round "
            f"{self.channel.read()[1]}."
        )
        if len(self.losses) > MOST_LOSSES:
            raise TrainingError(f"Workers were lost {len(self.losses)} times. {self.losses[-1]} {REMEDY}") from loss
