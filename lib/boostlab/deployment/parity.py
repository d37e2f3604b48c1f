"""The parity case of a model: the rows that a server receives, and the answers that it must give."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boostlab.errors import LabError
from boostlab.evaluation.holdout import Holdout
from boostlab.models.contract import Contract
from boostlab.models.contributions import CONTRIBUTIONS, name_outputs
from boostlab.models.loading import describe_failure
from boostlab.models.signature import as_sent
from boostlab.serving.settings import ServerSettings

MIN_ROWS = 200
MAX_ROWS = 1000
EXPLAINED_ROWS = 50  # contributions take some hundred times as long as predictions


@dataclass(frozen=True)
class ParityCase:
    """Holdout rows as a client sends them, and the answers that a server must give.

    `predictions` and `probabilities` are the answers of the model as loaded here; a regression model has no probabilities. A
    prediction of several quantiles is a dict.
    `recorded` are the answers of this model that the training recorded: a prediction, or a list of probabilities, per row. There
    are none of a model that has learned from all rows, and of one that boostlab did not make. For the latter, `source` says which
    rows are sent; MLflow's server reads no dates in CSV for it.
    `explained` are the answers to the first rows with their contributions; `unexplained` says why there are none.
    """

    frame: pd.DataFrame
    predictions: list[Any]
    probabilities: list[dict[str, float]]
    recorded: list[Any]
    example: dict[str, Any]
    example_answer: list[Any]
    source: str = "holdout rows"
    as_csv: bool = True
    explained: list[Any] = field(default_factory=list)
    unexplained: str = ""


def make_parity_case(model: Any, folder: Path, holdout: Holdout) -> ParityCase:
    """Let the model in a folder predict at least 200 and at most 1,000 holdout rows; fewer than 200 rows are repeated."""
    contract = Contract.read_model(folder)
    count = min(len(holdout), MAX_ROWS)
    order = np.arange(max(count, MIN_ROWS)) % count
    rows = holdout.frame.iloc[order].reset_index(drop=True)
    frame = pd.DataFrame({feature.name: as_sent(rows[feature.name], feature) for feature in contract.features})
    explained, unexplained = _explain(model, contract, frame)
    is_classifier = holdout.task == "classification"
    return ParityCase(
        frame=frame,
        predictions=_list_answers(model.predict(frame)),
        probabilities=model.predict(frame, params={"probabilities": True}).to_dict(orient="records") if is_classifier else [],
        recorded=holdout.answers[order].tolist() if holdout.is_of_model else [],
        example=json.loads((folder / "serving_input_example.json").read_text(encoding="utf-8")),
        example_answer=_list_answers(model.predict(model.metadata.load_input_example(str(folder)))),
        explained=explained,
        unexplained=unexplained,
    )


def make_example_case(model: Any, folder: Path) -> ParityCase:
    """Let a model that boostlab did not make predict its input example; there is no holdout of it.

    Raises
    ------
    LabError
        If the model has no named columns or no input example, or does not give an answer for each row of it.
    """
    from mlflow.pyfunc.scoring_server import predictions_to_json
    from mlflow.types import DataType

    file, sent = folder / "serving_input_example.json", io.StringIO()
    example = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    rows, inputs = example.get("dataframe_split", {}), model.metadata.signature.inputs
    if not inputs or not inputs.has_input_names() or not rows.get("columns") or not rows["data"]:
        raise LabError(
            f"The model in {folder} has no signature with named columns, or no input example with rows, so it is not known what "
            "to send to a server. Log it with both: log_model(…, signature=SIGNATURE, input_example=DATAFRAME)."
        )
    try:
        predictions_to_json(model.predict(model.metadata.load_input_example(str(folder))), sent)
    except Exception as error:  # whatever the model's own code raises
        raise LabError(f"The model in {folder} fails on its input example: {describe_failure(error)}") from None
    answers = json.loads(sent.getvalue())["predictions"]
    count = len(rows["data"])
    if not isinstance(answers, list) or len(answers) != count:
        found = f"a list of {len(answers)}" if isinstance(answers, list) else "no list"
        raise LabError(
            f"The model in {folder} gives {found} for the {count} rows of its input example. It must give {count} answers."
        )
    frame = pd.DataFrame(rows["data"], columns=rows["columns"], dtype=object)
    as_csv = DataType.datetime not in inputs.input_types()
    facts: dict[str, Any] = {"source": "rows of the input example", "as_csv": as_csv}
    return ParityCase(frame, answers, [], [], example, answers, **facts, unexplained="another tool made the model")


def _explain(model: Any, contract: Contract, frame: pd.DataFrame) -> tuple[list[Any], str]:
    """Return the answers to the first rows with contributions, as many as a server computes at once; or why there are none."""
    width = len(contract.names) * max(len(name_outputs(contract)), 1)
    count = min(EXPLAINED_ROWS, max(ServerSettings.max_contributions // width, 1))
    try:
        explained = model.predict(frame.head(count), params={CONTRIBUTIONS: True})
    except ValueError as error:
        return [], str(error)
    if not isinstance(explained, pd.DataFrame) or CONTRIBUTIONS not in explained:
        return [], "the model's own code gives none"
    return _list_answers(explained), ""


def _list_answers(answers: Any) -> list[Any]:
    """Return a model's answers as a server's client reads them."""
    return list(answers.to_dict(orient="records") if isinstance(answers, pd.DataFrame) else answers.tolist())
