"""Training on the workers of a Dask cluster, which share the rows of the table."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xgboost as xgb
from distributed import Client

from boostlab.cluster import connect, count_cores
from boostlab.errors import TrainingError
from boostlab.evaluation.losses import LOSSES, find_loss
from boostlab.models.contract import Contract
from boostlab.training.attempts import Attempts
from boostlab.training.boosting import Boosting, BoostingInputs
from boostlab.training.callbacks import Refuser, refuse_undefined
from boostlab.training.choice import NATIVE_METRICS
from boostlab.training.objectives import OBJECTIVES
from boostlab.training.settings import Train
from boostlab.training.shares import make_sample
from boostlab.training.worker_progress import WorkerProgress

if TYPE_CHECKING:
    from boostlab.tracking.run import Run

SAMPLE_ROWS = 1_000


@contextlib.contextmanager
def connect_workers(settings: Train, run: Run | None) -> Iterator[Client]:
    """Yield a connection to the workers that the settings name.

    Parameters
    ----------
    run : Run or None
        Workers of this machine keep their files in its folder.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, or has no worker, or the workers of this machine do not start.
    """
    threads = settings.nthread or max(1, count_cores() // max(1, settings.workers))
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=run.folder if run else None) as own,
        connect(settings.scheduler, n_workers=settings.workers, threads=threads, folder=Path(own)) as client,
    ):
        yield client


def boost_on_workers(
    inputs: BoostingInputs, *, is_checked: bool = False, client: Client | None = None, run: Run | None = None
) -> Boosting:
    """Train on the workers that the settings name; the callbacks see the rounds without the model.

    Parameters
    ----------
    is_checked : bool
        Whether an earlier training has checked the parameters.
    client : distributed.Client, optional
        A connection that several trainings share, one after the other; by default this training has its own.
    run : Run, optional
        It gets what the workers use.

    Raises
    ------
    TrainingError
        If XGBoost cannot compute the metric on shares of the rows, refuses a parameter, or the cluster is lost.
    LabError
        If the scheduler cannot be reached, or its workers have other versions.
    """
    if inputs.valid is not None:
        _check_metric(inputs.contract, inputs.params)
        inputs = replace(inputs, callbacks=[_Guard(inputs.contract.metric), *inputs.callbacks])
    if not is_checked:
        _try_round(inputs)
    with contextlib.nullcontext(client) if client else connect_workers(inputs.settings, run) as connected:
        rows = len(inputs.train) + len(inputs.valid or ())
        return Attempts(connected, inputs, WorkerProgress(connected, run, rows=rows, shown=client is None)).run()


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


def _try_round(inputs: BoostingInputs) -> None:
    """Let XGBoost refuse the parameters here, where its warnings are seen, before the rows are sent."""
    params, refuser = {**inputs.params, "device": "cpu"}, Refuser(inputs.watch.warned)
    sample = make_sample(inputs.train, inputs.contract, SAMPLE_ROWS)
    xgb.train(params, sample, num_boost_round=1, verbose_eval=False, callbacks=[refuser])


class _Guard(xgb.callback.TrainingCallback):
    """Refuses a metric that is not defined, after the first round."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        refuse_undefined(self._metric, evals_log["valid"][self._metric][0])
        return False
