"""The model card: equal from the journal and from the store, complete, safe, and with the version in the registry."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.paths import PAPERMILL, PROJECT
from tests.support.stores import NewStore, read_artifact
from tests.support.waiting import TIMEOUT_S

from boostlab.card.model_card import make_card
from boostlab.card.sections import SECTIONS, describe_data, list_limits, tabulate_folds, tabulate_slices, tabulate_test
from boostlab.models.registration import MOST_DESCRIBED, register_run
from boostlab.registry.gate import load_gate
from boostlab.registry.transition import request_transition
from boostlab.registry.view import view_model
from boostlab.tracking.evidence import Evidence, fetch_evidence

TRAIN = PROJECT / "notebooks" / "train.ipynb"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("card")]

LAST = "How to call it", "Environment"
RED = "\x1b[31m"  # steers a terminal
PURPOSE = "Find customers who are about to leave."


def write_customers(folder: Path) -> Path:
    """Write a table of customers, whose names of columns and classes look like markup."""
    draw = np.random.default_rng(0)
    kind, spend = draw.choice(["<b>flat</b>", "house|*x*"], 400), draw.normal(size=400)
    leaves = np.where(spend + draw.normal(size=400) > 0.8, "`leaves`", "stays")
    path = folder / "customers.csv"
    pd.DataFrame({"kind_of_*": kind, "spend": spend, "id": range(400), "y": leaves}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> tuple[Any, Any]:
    """Return a client and a run with folds, a threshold by costs, a final model of all rows, and a registered version."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("card")
    address = new_store(folder / "store")
    options = ["-p", "dataset", write_customers(folder), "-p", "target", "y", "-p", "folds", 3, "-p", "threshold", "cost"]
    options += [
        "-p",
        "gamma",
        0.125,
        "-p",
        "cost_false_negative",
        5.0,
        "-p",
        "num_boost_round",
        20,
        "-p",
        "final_model",
        "all_rows",
    ]
    options += ["-p", "purpose", PURPOSE + RED, "-p", "register_as", "leavers", "-p", "tracking_uri", address]
    command = [PAPERMILL, "--no-progress-bar", str(TRAIN), "out.ipynb", *map(str, options)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(address, address)
    return client, client.get_run(client.get_model_version("leavers", "1").run_id)


def test_a_run_has_a_complete_card_which_the_store_can_make_again(trained: tuple[Any, Any]) -> None:
    client, run = trained
    text = read_artifact(client, run.info.run_id, "model_card.md")
    evidence = fetch_evidence(client, run.info.run_id)
    card = make_card(evidence)

    assert card.gaps == [] and card.to_markdown() == text
    assert card.to_html(evidence) == read_artifact(client, run.info.run_id, "model_card.html")
    expected = "Purpose,Test rows,Cross-validation,Comparison,Decision and calibration,Limits,Slices,Data,Training,Columns,"
    assert ",".join(re.findall(r"(?m)^## (.+)", text)) == f"{expected}How to call it,Environment"


def test_a_card_states_what_the_run_recorded(trained: tuple[Any, Any]) -> None:
    client, run = trained
    text = re.sub(r"\\(.)", r"\1", read_artifact(client, run.info.run_id, "model_card.md"))
    metrics = run.data.metrics

    ends = f"{metrics['test_log_loss_low']:.4g} to {metrics['test_log_loss_high']:.4g}"
    assert f"| log_loss | {metrics['test_log_loss']:.4g} | {ends} | {metrics['baseline_log_loss']:.4g} |" in text
    assert f"| log_loss | {metrics['cv_log_loss']:.4g} | {metrics['cv_log_loss_std']:.4g} |" in text
    assert PURPOSE in text and run.inputs.dataset_inputs[0].dataset.digest in text
    assert "A false positive costs 1.0, a false negative 5.0." in text
    assert run.data.tags["boostlab.final_model"] in text and "The threshold is" in run.data.tags["boostlab.final_model"]
    assert "are of the model of the training. The run keeps another one, which has learned from all rows:" in text
    assert "gamma 0.125," in text and re.search(r"As of 20\d\d-\d\d-\d\d \d\d:\d\d UTC:\n\nIt is the first finished run", text)
    assert (
        f"load_model('runs:/{run.info.run_id}/model')  # this model; 'models:/leavers@production': the one in production" in text
    )
    assert "Left out: id:" in text and "| rows to learn from, to stop by, to test | 240, 80, 80 |" in text
    assert f"xgboost | {json.loads(run.data.tags['boostlab.environment'])['xgboost']}" in text


def test_names_act_neither_as_markdown_nor_as_html(trained: tuple[Any, Any]) -> None:
    client, run = trained
    page = read_artifact(client, run.info.run_id, "model_card.html")
    text = read_artifact(client, run.info.run_id, "model_card.md")

    assert "<script" not in page and "<b>" not in page and '<img src="http' not in page
    assert page.count("data:image/png;base64,") == 3  # the test rows, the folds, the columns
    assert RED not in page and RED not in text
    assert r"kind\_of\_\*" in text


def test_the_example_of_the_card_runs(trained: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = trained
    client.set_registered_model_alias("leavers", "production", "1")
    code = re.search(r"```python\n(.+?)```", read_artifact(client, run.info.run_id, "model_card.md"), re.DOTALL)
    assert code
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, client.tracking_uri)
    rows = pd.DataFrame({"kind_of_*": ["house|*x*"], "spend": [2.0]})
    exec(code[1], {"rows": rows})


def test_a_registered_version_has_the_card_as_its_description(trained: tuple[Any, Any]) -> None:
    client, run = trained
    text = read_artifact(client, run.info.run_id, "model_card.md")
    for name in ("leavers", "later"):
        number = register_run(client, run.info.run_id, name)
        description = client.get_model_version(name, str(number)).description
        assert len(description) <= MOST_DESCRIBED and PURPOSE.rstrip(".") in description
        if len(text) > MOST_DESCRIBED:
            kept, _, rest = description.rpartition("\n\n")
            assert text.startswith(kept) and rest == f"The whole card is model_card.md of the run {run.info.run_id}.\n"
        else:
            assert description == text


def test_the_gate_judges_the_evidence_of_the_run(trained: tuple[Any, Any], tmp_path: Path) -> None:
    client, _ = trained
    rules = ("cross_validated: {folds: 3}", "calibrated: {error: 0.4}", "no_slice_worse_than: {times: 5}", "card_complete: {}")
    (tmp_path / "gate.yaml").write_text("\n".join(rules))
    request = request_transition(view_model(client, "leavers"), "promote", version=1, stage="staging")
    judged = load_gate(tmp_path / "gate.yaml").judge(client, replace(request, to_stage="production"))

    assert [result.outcome for result in judged.results] == ["pass"] * 4, judged.results
    assert "rows of the cross-validation" in judged.results[1].evidence  # the run keeps a model of all rows


def test_a_run_with_no_evidence_has_a_card_that_names_all_gaps() -> None:
    card = make_card(Evidence("r", "empty", {}, {}, {"boostlab.task": "classification"}, {}, lambda _: None))

    lacking = {section.title for section in card.sections if section.lacks}
    assert lacking == {
        "Purpose",
        "Test rows",
        "Decision and calibration",
        "Slices",
        "Data",
        "Columns",
        "How to call it",
        "Environment",
    }
    assert all(gap in re.sub(r"\\(.)", r"\1", card.describe()) for gap in card.gaps)
    assert len(SECTIONS) > len(card.sections)


def test_a_figure_without_an_interval_is_a_gap() -> None:
    evidence = Evidence(
        "r", "small", {}, {"test_rmse": 1.0, "baseline_rmse": 2.0}, {"boostlab.metric": "rmse"}, {}, lambda _: None
    )
    (gap,) = [gap for gap in make_card(evidence).gaps if "interval" in gap]

    assert "-p test_size 0.3" in gap
    whole = replace(evidence, metrics={**evidence.metrics, "test_rmse_low": 0.5, "test_rmse_high": 1.5})
    assert not [gap for gap in make_card(whole).gaps if "interval" in gap]


def test_the_order_of_metrics_is_not_that_of_the_store() -> None:
    names = ("f1", "log_loss", "accuracy")
    metrics = {f"{part}_{name}{end}": 0.5 for name in names for part, end in (("test", ""), ("cv", ""), ("cv", "_std"))}
    tags = {"boostlab.metric": "log_loss"}
    cards = [
        Evidence("r", "run", {}, dict(order), tags, {}, lambda _: None) for order in (metrics.items(), [*metrics.items()][::-1])
    ]
    for tabulate in (tabulate_test, tabulate_folds):
        first, second = (tabulate(evidence).table for evidence in cards)  # type: ignore[union-attr]
        assert first
        assert first == second and [row[0] for row in first.rows] == ["log_loss", "accuracy", "f1"]


def test_a_final_model_does_not_know_a_table_of_test_rows() -> None:
    params = {"final_model": "all_rows", "test_dataset": "new.csv"}
    limits = list_limits(Evidence("r", "run", params, {}, {}, {}, lambda _: None))
    assert "has learned from all rows but those of new.csv:" in limits.text[-1]


def test_a_condition_on_the_rows_is_a_limit_of_the_figures() -> None:
    evidence = Evidence("r", "run", {"where": "year >= 2024"}, {}, {}, {}, lambda _: None)
    assert "drawn at random from the same table, all of which meet year >= 2024." in list_limits(evidence).text[0]
    table = describe_data(evidence).table
    assert table is not None
    assert ["condition on its rows", "year >= 2024"] in table.rows


def test_too_few_rows_for_slices_are_said_to_be_too_few() -> None:
    content = json.dumps({"metric": "rmse", "value": 1.2, "slices": []}).encode()
    section = tabulate_slices(Evidence("r", "run", {}, {}, {}, {}, lambda _: content))
    assert (
        section.text == ("The test rows are too few to tell whether the error is larger on some of them.",) and not section.lacks
    )


@pytest.mark.parametrize(("worse", "words"), [(0, "none has"), (1, "1 has"), (2, "2 have")])
def test_slices_with_a_larger_error_are_listed(worse: int, words: str) -> None:
    one = {"rows": 30, "value": 2.0, "low": 1.5, "high": 2.5, "rest": 1.0, "p": 0.01}
    slices = [{"name": f"a = {number}", "is_worse": number < worse, **one} for number in range(3)]
    content = json.dumps({"metric": "rmse", "value": 1.2, "slices": slices}).encode()
    section = tabulate_slices(Evidence("r", "run", {}, {}, {}, {}, lambda path: content if "slices" in path else None))

    assert words in section.text[0] and (len(section.table.rows) if section.table else 0) == worse


def test_counts_all_columns_that_are_left_out_though_a_tag_holds_only_some() -> None:
    profiles = [{"name": f"c{number}", "left_out": "one value", "feature": None} for number in range(500)]
    content = json.dumps(profiles).encode()
    section = describe_data(Evidence("r", "run", {}, {}, {}, {}, lambda path: content if path == "columns.json" else None))

    assert section.text[0] == "Left out: c0: one value" and section.text[-1] == "470 more columns are left out."
