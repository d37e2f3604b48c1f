"""The rows that a model has learned from, as hashes: later comparisons leave these rows out, whatever table they are in.

The hashes are a Parquet file among the run's artifacts, of at most 8 MB. They are of all columns of the table that were read.
"""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from boostlab.data.digest import hash_table
from boostlab.data.splits import Split
from boostlab.evaluation.holdout import HOLDOUT_PATH, OUT_OF_FOLD_PATH, Holdout, make_holdout
from boostlab.evaluation.metrics import Evaluation
from boostlab.models.artifacts import fetch_artifact
from boostlab.models.contract import Contract
from boostlab.tracking.facts import SPLIT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boostlab.tracking.run import Run

TRAINING_ROWS_PATH = "evaluation/training_rows.parquet"
METADATA = b"boostlab.training_rows"
OF_ONE_CLASS = ("f1", "average_precision")  # metrics that differ between the classes of two
MOST_HASHES = 1_000_000  # of 8 bytes each

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TrainingRows:
    """Hashes of the rows of the training and the validation part."""

    hashes: Array  #: uint64, ascending; of more than 1,000,000 rows, the smallest
    columns: Set[str]  #: the names of the hashed columns
    rows: int  #: the number of rows; if it is larger than the number of hashes, larger hashes are not known

    def find_unseen(self, rows: Holdout) -> Array | None:
        """Return which rows of a holdout are known to be no training rows, of shape (n_rows,), or None if none is known.

        The holdout's table may have more columns than the training table had, but not fewer.
        """
        added = sorted(rows.columns.keys() - self.columns)
        if rows.hashes is None or not self.columns <= rows.columns.keys() or not {*added} <= {*rows.data.column_names}:
            return None
        hashes = rows.hashes - hash_table(rows.data.select(added)).rows if added else rows.hashes
        unseen = np.isin(hashes, self.hashes, invert=True)
        return np.asarray(unseen if self.rows == len(self.hashes) else unseen & (hashes <= self.hashes[-1]))


def make_training_rows(split: Split, *, is_refitted: bool = False) -> pa.Table:
    """Return the hashes of the rows that the run's model knows, as the table to keep.

    These are the training and the validation part; of a model that is `is_refitted` all rows but those of a test table.
    """
    table = split.train.table
    content = table.content
    rows = np.concatenate([split.train.rows, split.valid.rows])
    if is_refitted:
        rows = np.arange(len(table) - table.test_rows)
    hashes = content.rows[rows]
    kept = np.sort(hashes if len(rows) <= MOST_HASHES else np.partition(hashes, MOST_HASHES)[:MOST_HASHES])
    facts = {"columns": list(content.columns), "rows": len(rows)}
    return pa.table({"hash": kept}, metadata={METADATA: json.dumps(facts)})


def read_training_rows(file: Path) -> TrainingRows:
    """Read the file of :func:`make_training_rows`."""
    table = pq.read_table(file)
    facts = json.loads(table.schema.metadata[METADATA])
    return TrainingRows(table.column("hash").to_numpy(), frozenset(facts["columns"]), facts["rows"])


def fetch_training_rows(client: MlflowClient, run_id: str) -> TrainingRows | None:
    """Return the hashes of a run's training rows, or None if the run kept none, as runs of earlier versions."""
    return fetch_artifact(client, run_id, TRAINING_ROWS_PATH, read_training_rows)


def digest_split(split: Split, contract: Contract | None = None) -> str:
    """Return a digest of the rows that judge a model: the test part and the validation part, with target and weight.

    It does not depend on the features. So models on different features of one table have the same digest. If the metric is that
    of one class, and `positive_label` has chosen the other one, the digest differs: such figures are not ranked together.
    """
    turned = contract is not None and contract.metric in OF_ONE_CLASS and contract.labels != tuple(sorted(contract.labels))
    return split.digest(b"turned" if turned else b"")


def log_holdout(run: Run, evaluation: Evaluation, split: Split, *, is_refitted: bool = False) -> None:
    """Record what later comparisons need: the holdout, the hashes of the training rows, and the digest of the split.

    `is_refitted` is whether the run's model has learned from all rows, so that another one gave the answers.
    """
    run.log_table(make_holdout(evaluation, is_of_model=not is_refitted), HOLDOUT_PATH)
    run.log_table(make_training_rows(split, is_refitted=is_refitted), TRAINING_ROWS_PATH)
    run.log_tags({SPLIT_TAG: digest_split(split, evaluation.contract)})


def log_out_of_fold(run: Run, evaluation: Evaluation | None) -> None:
    """Record the rows of a cross-validation with the answers of models that do not know them; nothing without folds."""
    if evaluation is not None:
        run.log_table(make_holdout(evaluation, is_of_model=False), OUT_OF_FOLD_PATH)
