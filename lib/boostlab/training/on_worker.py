"""What runs on each worker of a distributed training, and what it tells the process that started it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xgboost as xgb
from distributed import Client, Event, Variable, get_client, get_worker

from boostlab.evaluation.losses import find_loss
from boostlab.evaluation.metric_names import find_best_round
from boostlab.models.answers import to_answers
from boostlab.models.contract import Contract

CHECKPOINT_ROUNDS = 25  # the rounds that the loss of a worker may cost
ASK_S = 0.5  # between two questions whether to stop


class Channel:
    """What the process that started a training and its workers share through the scheduler.

    Parameters
    ----------
    name : str
        Of the training; also the topic of the metrics of each round.
    """

    def __init__(self, name: str, client: Client) -> None:
        self._model, self._end = (Variable(f"{name}-{what}", client=client) for what in ("model", "end"))
        self._stop = Event(f"{name}-stop", client=client)

    def keep(self, model: bytes, values: Mapping[str, Sequence[float]]) -> None:
        """Keep the model so far, and the metric of each part in each of its rounds."""
        self._model.set({"model": model, "values": _to_lists(values)})

    def read(self) -> tuple[bytes, dict[str, list[float]]]:
        """Return the model so far, and the metrics of its rounds; both are empty before the first checkpoint."""
        kept = self._model.get()
        return kept["model"], _to_lists(kept["values"])

    def end(self, values: Mapping[str, Sequence[float]]) -> None:
        """Tell the metrics of all rounds, after the last one."""
        self._end.set(_to_lists(values))

    def read_end(self) -> dict[str, list[float]]:
        """Return the metrics of all rounds of a training that has ended."""
        return _to_lists(self._end.get())

    def request_stop(self) -> None:
        """Request that the workers stop after their present round."""
        self._stop.set()

    def is_stop_requested(self) -> bool:
        """Tell whether the workers are requested to stop."""
        return bool(self._stop.is_set())

    def clear(self) -> None:
        """Drop all of it."""
        self._model.delete()
        self._end.delete()
        self._stop.clear()


def count_rounds(values: Mapping[str, Sequence[float]]) -> int:
    """Return the number of rounds of which there are metrics of each part."""
    return len(next(iter(values.values()), ()))


def _to_lists(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return lists: on their way, they have become tuples."""
    return {part: list(line) for part, line in values.items()}


_exact = threading.local()  #: the metrics of a round, in the order of the parts: XGBoost's history has six decimals of them


class MeanLoss:
    """A metric that XGBoost does not have: the mean loss of the rows of all workers. It is computed on each of them."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def __call__(self, predictions: np.ndarray[Any, Any], data: xgb.DMatrix) -> tuple[str, float]:
        metric, weight = self._contract.metric, data.get_weight()
        loss = find_loss(metric)
        assert loss is not None
        rows = loss.rows(data.get_label(), to_answers(predictions, self._contract))
        weight = weight if len(weight) else np.ones(len(rows))
        total, weights = xgb.collective.allreduce(np.array([np.sum(rows * weight), np.sum(weight)]), xgb.collective.Op.SUM)
        value = float(total / weights) ** (0.5 if loss.is_root else 1)
        _exact.values = [*getattr(_exact, "values", []), value]
        return "loss", value


class Follower(xgb.callback.TrainingCallback):
    """On each worker: stops early, or if it is asked to. The first one tells the metrics, and keeps the model so far.

    Parameters
    ----------
    name : str
        Of the training's :class:`Channel`.
    attempt : int
        Its number: what an earlier one tells late is ignored.
    earlier : mapping
        The metric of each part in the rounds before this attempt.
    patience : int
        Rounds without a better one after which it stops; 0: never.
    """

    def __init__(self, name: str, attempt: int, metric: str, earlier: Mapping[str, Sequence[float]], *, patience: int) -> None:
        super().__init__()
        self._name, self._attempt, self._metric, self._patience = name, attempt, metric, patience
        self._values = _to_lists(earlier)
        self._asked = 0.0
        self._channel: Channel | None = None  # of the first worker

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        _exact.values = []
        self._channel = Channel(self._name, get_client()) if xgb.collective.get_rank() == 0 else None
        return model

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        last = dict(zip(evals_log, _exact.values, strict=True)) if _exact.values else _read_last(evals_log)
        _exact.values = []
        for part, value in last.items():
            self._values.setdefault(part, []).append(value)
        done, stop = count_rounds(self._values), False
        if self._channel:
            get_worker().log_event(self._name, {"attempt": self._attempt, "round": done - 1, "values": last})
            if done % CHECKPOINT_ROUNDS == 0:
                self._channel.keep(bytes(model.save_raw("ubj")), self._values)
            if time.monotonic() - self._asked > ASK_S:
                stop, self._asked = self._channel.is_stop_requested(), time.monotonic()
        requested = xgb.collective.broadcast(stop, 0)  # all workers end with the same round
        if not self._patience:
            return bool(requested)
        return bool(requested) or done - 1 - find_best_round(self._metric, self._values["valid"]) >= self._patience

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        if self._channel:
            self._channel.end(self._values)
        return model


def _read_last(evals_log: Any) -> dict[str, float]:
    """Return the last value of each part's only metric."""
    return {part: float(next(iter(lines.values()))[-1]) for part, lines in evals_log.items()}
