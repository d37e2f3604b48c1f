"""What runs on each worker of a distributed training, and what it tells the process that started it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost as xgb
from distributed import Client, Event, Variable, get_client, get_worker

from boostlab.evaluation.losses import find_loss
from boostlab.evaluation.metric_names import is_higher_better
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
        self._model, self._stop = Variable(f"{name}-model", client=client), Event(f"{name}-stop", client=client)

    def keep(self, model: bytes, rounds: int) -> None:
        """Keep the model so far."""
        self._model.set({"model": model, "rounds": rounds})

    def read(self) -> tuple[bytes, int]:
        """Return the model so far, and its number of rounds."""
        kept = self._model.get()
        return kept["model"], kept["rounds"]

    def ask_to_stop(self) -> None:
        """Ask the workers to stop after their present round."""
        self._stop.set()

    def is_asked_to_stop(self) -> bool:
        """Tell whether the workers are asked to stop."""
        return bool(self._stop.is_set())

    def clear(self) -> None:
        """Drop all of it."""
        self._model.delete()
        self._stop.clear()


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
        mean = float(total / weights)
        return metric.replace(":", "_").replace("-", "_"), mean**0.5 if loss.is_root else mean


class Follower(xgb.callback.TrainingCallback):
    """On each worker: stops early, or if it is asked to. The first one tells the metrics, and keeps the model so far.

    Parameters
    ----------
    name : str
        Of the training's :class:`Channel`.
    attempt : int
        Its number: what an earlier one tells late is ignored.
    earlier : sequence of float
        The metric of the validation part in the rounds before this attempt.
    patience : int
        Rounds without a better one after which it stops; 0: never.
    """

    def __init__(self, name: str, attempt: int, metric: str, earlier: Sequence[float], *, patience: int) -> None:
        super().__init__()
        self._name, self._attempt, self._metric, self._earlier, self._patience = name, attempt, metric, list(earlier), patience
        self._asked = 0.0

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        lines = {part: list(line.values())[-1] for part, line in evals_log.items()}
        values, done = [*self._earlier, *lines["valid"]], len(self._earlier) + epoch + 1
        is_first, stop = xgb.collective.get_rank() == 0, False
        if is_first:
            last = {part: float(line[-1]) for part, line in lines.items()}
            get_worker().log_event(self._name, {"attempt": self._attempt, "round": done - 1, "values": last})
            if done % CHECKPOINT_ROUNDS == 0:
                Channel(self._name, get_client()).keep(bytes(model.save_raw("ubj")), done)
            if time.monotonic() - self._asked > ASK_S:
                stop = Channel(self._name, get_client()).is_asked_to_stop()
                self._asked = time.monotonic()
        asked = xgb.collective.broadcast(stop, 0)  # all workers end with the same round
        best = values.index((max if is_higher_better(self._metric) else min)(values))
        return bool(asked) or (self._patience > 0 and len(values) - 1 - best >= self._patience)
