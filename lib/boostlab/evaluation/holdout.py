"""The holdout: the rows that a run keeps with answers to them, to compare models and to verify images.

A run keeps its test rows and, after a cross-validation, the rows of all folds. Each is a Parquet file among the run's artifacts.
It has the model's columns and the target as in the table, each row's position in the table, and the answers. The file's metadata
names the columns' roles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from boostlab.data.table import encode_labels, to_series
from boostlab.errors import LabError
from boostlab.evaluation.metrics import Evaluation
from boostlab.models.answers import choose_classes
from boostlab.models.artifacts import fetch_artifact
from boostlab.models.contract import Task

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boostlab.models.predictor import Predictor

HOLDOUT_PATH = "evaluation/test_rows.parquet"
OUT_OF_FOLD_PATH = "evaluation/out_of_fold_rows.parquet"
METADATA = b"boostlab.rows"
MOST_ROWS = 10_000
ROUNDING = 1e-5  # the largest difference between two machines, as a share of the largest answer

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Holdout:
    """Test rows and the model's answers to them."""

    data: pa.Table  #: the features' columns, with the table's types; shape (n_rows, n_features)
    target: pd.Series  #: length n_rows
    weight: Array | None  #: shape (n_rows,)
    positions: Array  #: the rows' positions in the table with this `digest`, ascending; shape (n_rows,)
    answers: Array  #: predictions, shape (n_rows,); `quantiles`, shape (n_rows, n_quantiles); or probabilities of `labels`
    digest: str
    task: Task
    labels: list[Any]
    test_rows: int  #: size of the test part; if it is larger than n_rows, the rows are a sample
    metric: str = ""  #: the metric of the training; empty in holdouts of earlier versions
    quantiles: tuple[float, ...] = ()  #: the quantiles that the model answers
    groups: Array | None = None  #: a number for each row's group, shape (n_rows,); None if the split had no groups
    hashes: Array | None = None  #: a hash of each row's content in the table, uint64, shape (n_rows,); None in earlier versions
    columns: dict[str, str] = field(default_factory=dict)  #: the digest of each column of the table; empty in earlier versions
    threshold: float | None = None  #: the model's threshold; None: the most probable class is the answer
    is_of_model: bool = True  #: whether the run's model gave the answers; else models did that learned from fewer rows
    classes: Array | None = None  #: positions of the chosen classes, if several models chose them, each by its own threshold

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def frame(self) -> pd.DataFrame:
        """The features as a user sends them."""
        frame: pd.DataFrame = self.data.to_pandas()
        return frame

    @property
    def chosen(self) -> Array | None:
        """The chosen classes, as positions in `labels`; None for a regression."""
        if not self.labels:
            return None
        return choose_classes(self.answers, self.threshold) if self.classes is None else self.classes

    @property
    def true(self) -> Array:
        """The target as metrics take it: numbers, or positions in `labels`."""
        return self.target.to_numpy(float) if self.task == "regression" else encode_labels(self.target, self.labels)


def make_holdout(evaluation: Evaluation, *, is_of_model: bool = True) -> pa.Table:
    """Return the test rows with the model's answers, at most 10,000 rows, as the table to keep.

    `is_of_model` is whether the run's model gave the answers. Another model may take other columns, so that all are kept.

    A larger test part is sampled by a hash of the rows' positions: models with similar test parts keep the same rows.
    """
    part, answers, contract = evaluation.part, evaluation.answers, evaluation.contract
    chosen = _sample(part.rows)
    roles = part.table.roles
    features = contract.names if is_of_model else list(part.table.features)
    names = [*features, roles.target, *([roles.weight] if roles.weight else [])]
    table = part.table.take(list(dict.fromkeys(names)), part.rows[chosen])
    kept = answers[chosen].reshape(len(chosen), -1)
    answered = [f"probability of {label}" for label in contract.labels] or contract.answer_names or ["prediction"]
    content = part.table.content
    added = {"position": part.rows[chosen], "row_hash": content.rows[part.rows[chosen]]}
    if roles.group:
        added["group"] = pd.factorize(to_series(part.table.take([roles.group], part.rows[chosen]), roles.group))[0]
    if evaluation.chosen is not None:
        added["class"] = evaluation.chosen[chosen]
    added |= dict(zip(answered, kept.T, strict=True))
    own = _unused(list(added), table.column_names)
    roles_of = dict(zip(added, own, strict=True))
    for name, values in zip(own, added.values(), strict=True):
        table = table.append_column(name, pa.array(np.ascontiguousarray(values)))
    facts = {
        "digest": part.table.digest,
        "task": contract.task,
        "labels": contract.labels,
        "metric": contract.metric,
        "quantiles": contract.quantiles,
        "threshold": contract.threshold,
        "features": features,
        "target": roles.target,
        "weight": roles.weight,
        "position": roles_of["position"],
        "hashes": roles_of["row_hash"],
        "groups": roles_of.get("group", ""),
        "classes": roles_of.get("class", ""),
        "answers": own[-len(answered) :],
        "columns": content.columns,
        "test_rows": len(part),
        "is_sample": len(chosen) < len(part),
        "is_of_model": is_of_model,
    }
    return table.replace_schema_metadata({METADATA: json.dumps(facts)})


def read_holdout(file: Path) -> Holdout:
    """Read the file of a holdout.

    Raises
    ------
    LabError
        If the file is not a holdout, or has more rows than one.
    """
    rows = pq.read_metadata(file).num_rows
    if rows > MOST_ROWS:  # a small file can unpack to gigabytes
        raise LabError(f"{file} has {rows:,} rows, and a run keeps at most {MOST_ROWS:,} test rows. Train again.")
    return to_holdout(pq.read_table(file), file)


def to_holdout(table: pa.Table, file: object = "The table") -> Holdout:
    """Return the holdout that a table of :func:`make_holdout` describes; errors name its `file`."""
    metadata = table.schema.metadata or {}
    if METADATA not in metadata:
        raise LabError(f"{file} does not hold the test rows of a run. Train again with this version of boostlab.")
    facts = json.loads(metadata[METADATA])
    answers = np.column_stack([table.column(name).to_numpy() for name in facts["answers"]])
    return Holdout(
        data=table.select(facts["features"]).replace_schema_metadata(),
        target=to_series(table, facts["target"]),
        weight=table.column(facts["weight"]).to_numpy().astype(float) if facts["weight"] else None,
        positions=table.column(facts["position"]).to_numpy(),
        answers=answers if answers.shape[1] > 1 else answers[:, 0],
        digest=facts["digest"],
        task=facts["task"],
        labels=facts["labels"],
        test_rows=facts["test_rows"],
        metric=facts.get("metric", ""),
        quantiles=tuple(facts.get("quantiles", ())),
        groups=table.column(facts["groups"]).to_numpy() if facts.get("groups") else None,
        hashes=table.column(facts["hashes"]).to_numpy() if "hashes" in facts else None,
        columns=facts.get("columns", {}),
        threshold=facts.get("threshold"),
        is_of_model=facts.get("is_of_model", True),
        classes=table.column(facts["classes"]).to_numpy() if facts.get("classes") else None,
    )


def count_wrong_answers(holdout: Holdout, predictor: Predictor) -> int:
    """Return the number of rows whose recorded answer is not the predictor's; a difference in rounding is none."""
    answers = predictor.answers(holdout.frame)
    if answers.shape != holdout.answers.shape or predictor.contract.threshold != holdout.threshold:
        return len(holdout)
    tolerance = ROUNDING * np.nanmax(np.abs(holdout.answers), initial=0.0)
    close = np.isclose(answers, holdout.answers, rtol=ROUNDING, atol=tolerance, equal_nan=True)
    return int((~close.reshape(len(holdout), -1).all(axis=1)).sum())


def fetch_holdout(client: MlflowClient, run_id: str) -> Holdout:
    """Return the holdout of a run.

    Raises
    ------
    LabError
        If the run has no holdout, or its artifacts cannot be read.
    """
    found = fetch_artifact(client, run_id, HOLDOUT_PATH, read_holdout)
    if found is None:
        raise LabError(f"The run {run_id} kept no test rows: it has no artifact {HOLDOUT_PATH}. Train it again.")
    return found


def fetch_out_of_fold(client: MlflowClient, run_id: str) -> Holdout | None:
    """Return the rows of a run's cross-validation, answered by models that do not know them; None if it made none."""
    return fetch_artifact(client, run_id, OUT_OF_FOLD_PATH, read_holdout)


def _sample(rows: Array) -> Array:
    """Return the indices, ascending, of the rows to keep."""
    if len(rows) <= MOST_ROWS:
        return np.arange(len(rows))
    return np.sort(np.argpartition(pd.util.hash_array(rows), MOST_ROWS)[:MOST_ROWS])


def _unused(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the names, with an underscore at the end of those that are taken."""
    found: list[str] = []
    for name in names:
        unused = name
        while unused in (*taken, *found):
            unused += "_"
        found.append(unused)
    return found
