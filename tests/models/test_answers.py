from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.packages import Packaged, make_package
from tests.support.servers import serve_model
from tests.support.serving import predict, serve
from tests.support.settings import make_settings

from boostlab.models.answers import calibrate, choose_classes, to_answers, to_log_odds
from boostlab.models.contract import Calibration, Contract
from boostlab.models.predictor import load_predictor
from boostlab.scoring.scorer import score_file
from boostlab.serving.model import ServedModel

STEPS = ((0.1, 0.4, 0.40000001, 0.9), (0.0, 0.2, 0.5, 1.0))
TWO = [Calibration("sigmoid", (((0.7,), (0.3,)),)), Calibration("isotonic", (STEPS,))]
MANY = [Calibration("sigmoid", (((0.7,), (-0.3,)),) * 12), Calibration("isotonic", (STEPS,) * 12)]


def contract(calibration: Calibration, threshold: float | None = None) -> Contract:
    labels = tuple("abcdefghijkl")[: 2 if len(calibration.maps) == 1 else len(calibration.maps)]
    return Contract("classification", labels, (), calibration=calibration, threshold=threshold)


@pytest.mark.parametrize("calibration", [*TWO, *MANY])
@pytest.mark.parametrize("rows", [2, 3, 17, 1000])
def test_a_row_gets_the_same_bits_alone_and_among_others(calibration: Calibration, rows: int) -> None:
    draw = np.random.default_rng(rows)
    raw = draw.random(rows).astype(np.float32) if len(calibration.maps) == 1 else draw.dirichlet(np.ones(12), rows)
    raw = raw.astype(np.float32)
    together = to_answers(raw, contract(calibration))
    alone = np.concatenate([to_answers(raw[row : row + 1], contract(calibration)) for row in range(rows)])
    halves = np.concatenate([to_answers(raw[start::2], contract(calibration)) for start in (0, 1)])

    assert np.array_equal(together, alone)
    assert np.array_equal(np.concatenate([together[::2], together[1::2]]), halves)
    assert together.sum(axis=1) == pytest.approx(np.ones(rows))
    assert to_answers(raw[:0], contract(calibration)).shape == (0, together.shape[1])


@pytest.mark.parametrize("calibration", [*TWO, *MANY])
def test_certain_probabilities_stay_numbers(calibration: Calibration) -> None:
    second = np.array([0.0, 1.0, 1e-45, 1 - 2**-24])
    raw = second if len(calibration.maps) == 1 else np.eye(12)[[0, 3, 4, 11]]
    answers = to_answers(raw.astype(np.float32), contract(calibration))

    assert np.isfinite(answers).all() and answers.min() >= 0 and answers.max() <= 1
    assert np.isfinite(to_log_odds(second)).all()


def test_classes_are_equal_where_each_map_gives_zero() -> None:
    none = Calibration("isotonic", (((0.2, 0.9), (0.0, 1.0)),) * 6)

    assert calibrate(np.full((1, 6), 1 / 6), none) == pytest.approx(np.full((1, 6), 1 / 6))


def test_a_class_is_chosen_from_the_threshold_upwards() -> None:
    second = np.array([0.2, 0.3, 0.5, 0.9])
    likely = np.column_stack([1 - second, second])

    assert choose_classes(likely, 0.3).tolist() == [0, 1, 1, 1]
    assert choose_classes(likely, None).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("calibration", [*TWO, *MANY])
def test_the_contract_keeps_each_bit(calibration: Calibration, tmp_path: Path) -> None:
    made = contract(calibration, 0.1 + 0.2)
    made.write(tmp_path)

    assert Contract.read(tmp_path) == made


def test_a_contract_without_a_decision_has_no_field_of_it_and_an_unknown_method_is_refused(tmp_path: Path) -> None:
    replace(contract(TWO[0]), calibration=None).write(tmp_path)
    assert not {"calibration", "threshold"} & json.loads((tmp_path / "contract.json").read_text()).keys()

    contract(replace(TWO[0], method="beta")).write(tmp_path)
    with pytest.raises(ValueError, match="'beta', which this version of boostlab does not know"):
        Contract.read(tmp_path)


def make_decided(own_table: Path, folder: Path, **decision: Any) -> Packaged:
    """Package a model of two classes whose threshold is far from one half."""
    own = {"dataset": str(own_table), "target": "level", "drop": ["price"], "positive_label": "cheap", "valid_size": 0.6}
    return make_package(make_settings(num_boost_round=5, eta=0.5, **own, **decision), folder)


@pytest.mark.parametrize("calibrate", ["none", "sigmoid", "isotonic"])
def test_a_decision_is_the_same_in_every_way_of_asking(own_table: Path, tmp_path: Path, calibrate: str) -> None:
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    folder, predictor, split = make_decided(own_table, tmp_path, calibrate=calibrate, threshold=0.15)
    rows = split.test.head(40)
    likely: Any = predictor.predict(rows, {"probabilities": True})
    labels = np.asarray(predictor.predict(rows)).tolist()
    assert list(likely.columns) == ["dear", "cheap"]
    assert labels == np.where(likely["cheap"] >= 0.15, "cheap", "dear").tolist()
    assert labels != np.where(likely["cheap"] >= 0.5, "cheap", "dear").tolist()

    loaded = load_predictor(folder / "data/model_data")
    model = mlflow.pyfunc.load_model(str(folder))
    for each in (loaded, model):
        assert np.asarray(each.predict(rows)).tolist() == labels
        assert np.array_equal(each.predict(rows, {"probabilities": True}), likely)
    assert [str(loaded.predict(rows.iloc[[place]])[0]) for place in range(40)] == labels

    split_body = {"dataframe_split": json.loads(rows.to_json(orient="split", index=False, date_format="iso"))}
    asked = json.dumps(split_body | {"params": {"probabilities": True}}).encode()
    served = ServedModel(folder)
    assert json.loads(served.answer(json.dumps(split_body).encode(), "application/json")[0])["predictions"] == labels
    records = likely.to_dict(orient="records")
    assert json.loads(served.answer(asked, "application/json")[0])["predictions"] == records
    theirs = invocations(asked, "application/json", model, model.metadata.get_input_schema()).response
    assert json.loads(theirs)["predictions"] == records

    rows.to_csv(tmp_path / "rows.csv", index=False)
    for probabilities in (False, True):
        output = tmp_path / f"{probabilities}.csv"
        score_file(
            model, loaded.contract, rows=str(tmp_path / "rows.csv"), output=output, probabilities=probabilities, chunk_rows=7
        )
        with output.open() as file:
            written = list(csv.DictReader(file))
        assert [row["prediction"] for row in written] == labels
    assert [float(row["probability of cheap"]) for row in written] == likely["cheap"].tolist()


@pytest.mark.slow
def test_both_servers_decide_alike(own_table: Path, tmp_path: Path, store: str) -> None:
    folder, predictor, split = make_decided(own_table, tmp_path, calibrate="sigmoid", threshold="recall >= 0.9")
    rows = split.test.head(30)
    body = rows.to_json(orient="split", index=False, date_format="iso", double_precision=15)
    sent = json.dumps({"dataframe_split": json.loads(body)}).encode()
    with serve(folder) as ours, serve_model(str(folder), store) as theirs:
        answers = [predict(address, sent).json()["predictions"] for address in (ours, theirs)]

    assert answers == [np.asarray(predictor.predict(rows)).tolist()] * 2
