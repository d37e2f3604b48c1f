"""The gate's rules on real versions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes
from tests.support.comparison import record_run
from tests.support.paths import PROJECT
from tests.support.registry import HOPELESS, STRONG, WEAK, add_version
from tests.support.stores import NewStore

from boostlab.models.loading import fetch_version, load_version
from boostlab.registry.gate import Gate, load_gate
from boostlab.registry.history import Stage
from boostlab.registry.transition import apply_transition, request_transition
from boostlab.registry.view import read_run, view_model
from boostlab.tracking.store import find_store, open_store

OWN = PROJECT / "parameters" / "registry" / "gate.yaml"


@pytest.fixture(scope="module", params=["sqlite", "file"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Any:
    folder = tmp_path_factory.mktemp("store")
    address = new_store(folder) if request.param == "sqlite" else str(folder / "mlruns")
    return open_store(find_store(address, project=folder)).client


def promote(client: Any, name: str, version: int, stage: Stage) -> None:
    apply_transition(client, request_transition(view_model(client, name), "promote", version=version, stage=stage), who="ana")


def check(client: Any, name: str, version: int, stage: Stage, gate: Gate | None = None) -> dict[str, tuple[str, str]]:
    request = request_transition(view_model(client, name), "promote", version=version, stage=stage)
    return {item.rule: (item.outcome, item.evidence) for item in (gate or load_gate(OWN)).judge(client, request).results}


def read(tmp_path: Path, text: str) -> Gate:
    (tmp_path / "gate.yaml").write_text(text)
    return load_gate(tmp_path / "gate.yaml")


def test_a_gate_without_rules_has_no_results(client: Any, name: str, tmp_path: Path) -> None:
    add_version(client, name)
    assert check(client, name, 1, "production", read(tmp_path, "{}")) == {}


def test_a_sound_version_passes_into_staging_and_production(client: Any, name: str) -> None:
    add_version(client, name)
    found = check(client, name, 1, "staging")
    passed = ("allowed_transitions", "signature_and_example", "model_answers", "pinned_requirements")
    assert {rule for rule, (outcome, _) in found.items() if outcome == "pass"} == set(passed)
    promote(client, name, 1, "staging")
    found = check(client, name, 1, "production")
    assert found["metric_thresholds"][0] == "pass" and "test_r2 = 0.3" in found["metric_thresholds"][1]
    assert found["beats_champion"] == ("not applicable", "No other version is in production.")


def test_production_requires_staging_before(client: Any, name: str) -> None:
    add_version(client, name)
    expected = "none to production is not allowed. From none a version may go to: test, staging, archived."
    assert check(client, name, 1, "production")["allowed_transitions"] == ("fail", expected)


def test_a_challenger_must_beat_the_champion_on_the_same_rows(client: Any, name: str, tmp_path: Path) -> None:
    for rounds in (WEAK, STRONG, STRONG):
        add_version(client, name, rounds=rounds)
    promote(client, name, 1, "production")
    outcome, evidence = check(client, name, 2, "production")["beats_champion"]
    assert outcome == "pass" and "Version 2 is better than version 1" in evidence
    assert "95 % interval" in evidence and "on 177 rows" in evidence and "both runs held out" in evidence
    promote(client, name, 2, "production")
    assert check(client, name, 1, "production")["beats_champion"][0] == "fail"
    outcome, evidence = check(client, name, 3, "production")["beats_champion"]
    assert outcome == "fail" and "version 2" in evidence
    lenient = read(tmp_path, "beats_champion: {demand: not worse, metric: mae}")
    outcome, evidence = check(client, name, 3, "production", lenient)["beats_champion"]
    assert outcome == "pass" and "mae" in evidence


def test_compares_on_the_rows_of_all_folds_if_both_runs_have_them(client: Any, name: str, tmp_path: Path) -> None:
    gate = read(tmp_path, "cross_validated: {folds: 3}\nbeats_champion: {}")
    add_version(client, name, rounds=WEAK)
    add_version(client, name, rounds=WEAK, folds=2)
    add_version(client, name, rounds=WEAK, folds=3)
    add_version(client, name, folds=3)
    assert check(client, name, 1, "production", gate)["cross_validated"][1].startswith(
        "The version's run made no cross-validation"
    )
    assert "made 2 folds, required are 3 folds" in check(client, name, 2, "production", gate)["cross_validated"][1]
    promote(client, name, 3, "production")
    found = check(client, name, 4, "production", gate)

    assert found["cross_validated"][0] == "pass"
    assert re.match(r"3 folds of 442 rows: cv_rmse = [\d.]+, 95 % interval [\d.]+ to", found["cross_validated"][1])
    outcome, evidence = found["beats_champion"]
    assert outcome == "pass" and "on 442 rows" in evidence and "all 442 of the cross-validation, which both runs" in evidence
    promote(client, name, 1, "production")  # which has no folds: the test part decides
    assert "on 177 rows" in check(client, name, 4, "production", gate)["beats_champion"][1]


FEATURES = ("bmi", "bp", "s5")


@pytest.mark.parametrize("fewer", ["champion", "challenger"])
def test_compares_models_on_different_columns(client: Any, name: str, fewer: str) -> None:
    given: dict[str, Any] = {"features": FEATURES}
    add_version(client, name, rounds=HOPELESS, **given if fewer == "champion" else {})
    add_version(client, name, **given if fewer == "challenger" else {})
    promote(client, name, 1, "production")
    outcome, evidence = check(client, name, 2, "production")["beats_champion"]
    assert outcome == "pass" and "on 177 rows" in evidence and "all 177 of the test part, which both runs held out" in evidence


def test_leaves_out_the_test_rows_that_the_champion_has_learned_from(client: Any, name: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{month}.csv" for month in ("may", "june")]
    frame = load_diabetes(as_frame=True).frame
    frame.iloc[:300].to_csv(files[0], index=False)
    frame.assign(more=1.0).iloc[::-1].to_csv(files[1], index=False)
    for file, rounds in zip(files, (HOPELESS, STRONG), strict=True):
        add_version(client, name, dataset=str(file), target="target", rounds=rounds, features=tuple(frame.columns[:-1]))
    promote(client, name, 1, "production")
    outcome, evidence = check(client, name, 2, "production")["beats_champion"]
    left_out = int(re.search(r"(\d+) more are left out: the champion was trained on them", evidence)[1])  # type: ignore[index]
    assert outcome == "pass" and 60 < left_out < 100
    assert f"The rows are {177 - left_out} of the challenger's test part" in evidence


def test_a_challenger_on_fewer_columns_of_another_table_predicts_the_champions_rows(
    client: Any, name: str, tmp_path: Path
) -> None:
    frame = load_diabetes(as_frame=True).frame
    for month, features, rows in (("may", tuple(frame.columns[:-1]), slice(300)), ("june", FEATURES, slice(None, None, -1))):
        frame.iloc[rows].to_csv(tmp_path / f"{month}.csv", index=False)
        add_version(client, name, dataset=str(tmp_path / f"{month}.csv"), target="target", features=features)
    promote(client, name, 1, "production")
    evidence = check(client, name, 2, "production")["beats_champion"][1]
    found = re.search(
        r"The rows are (\d+) of the champion's test part, predicted again by the challenger's model. (\d+) more", evidence
    )
    assert found and int(found[1]) + int(found[2]) == 120 and int(found[1]) > 20
    assert "are left out: the challenger was trained on them." in evidence


def test_a_challenger_that_others_beat_on_the_validation_rows_must_win_by_more(client: Any, name: str) -> None:
    given: dict[str, Any] = {"test_size": 0.39}  # a split of this test's own
    for rounds in (WEAK, STRONG - 10):
        add_version(client, name, rounds=rounds, **given)
    promote(client, name, 1, "production")
    alone = check(client, name, 2, "production")["beats_champion"][1]
    split = read_run(client, view_model(client, name).version(2).run_id).data.tags["boostlab.split"]  # type: ignore[union-attr]
    for number in range(30):
        record_run(client, f"better-{number}", split=split, metrics={"best_valid_rmse": 1.0 + number})
    outcome, evidence = check(client, name, 2, "production")["beats_champion"]
    assert "(95 % interval" in alone and "(99.99 % interval" in evidence
    assert "Of 31 models on this split, the challenger is number 31 by best_valid_rmse" in evidence
    assert outcome == "fail" and "No significant difference" in evidence


def test_a_champion_that_cannot_be_compared_fails_with_the_reason(client: Any, name: str) -> None:
    add_version(client, name, dataset="iris")
    add_version(client, name)
    promote(client, name, 1, "production")
    outcome, evidence = check(client, name, 2, "production")["beats_champion"]
    assert outcome == "fail" and "Only models of the same target can be compared" in evidence
    client.delete_run(view_model(client, name).version(1).run_id)
    assert check(client, name, 2, "production")["beats_champion"][0] == "fail"


def test_metrics_below_a_bound_or_absent_fail_with_the_nearest_name(client: Any, name: str, tmp_path: Path) -> None:
    add_version(client, name, rounds=HOPELESS)
    outcome, evidence = check(client, name, 1, "production")["metric_thresholds"]
    assert outcome == "fail" and "required >= 0.1" in evidence
    wrong = read(tmp_path, "metric_thresholds: {all_tasks: {test_rmsle: '< 1'}, regression: {test_r2: '>= -9'}}")
    outcome, evidence = check(client, name, 1, "production", wrong)["metric_thresholds"]
    expected = "The run has no metric 'test_rmsle'. Did you mean 'test_rmse'? It has: best_iteration, best_valid_rmse, "
    assert outcome == "fail" and evidence.startswith(expected)


def test_quantiles_have_bounds_of_their_own(client: Any, name: str, tmp_path: Path) -> None:
    add_version(client, name)
    client.set_tag(client.get_model_version(name, "1").run_id, "boostlab.objective", "reg:quantileerror")
    assert check(client, name, 1, "production")["metric_thresholds"] == (
        "not applicable",
        "The gate sets no bounds for quantiles.",
    )
    gate = read(tmp_path, "metric_thresholds: {quantiles: {test_mae: '< 1'}, regression: {test_r2: '>= -9'}}")
    outcome, evidence = check(client, name, 1, "production", gate)["metric_thresholds"]
    assert outcome == "fail" and "test_mae" in evidence and "required < 1" in evidence


def test_a_version_without_its_artifacts_fails_and_says_so(client: Any, name: str) -> None:
    add_version(client, name)
    shutil.rmtree(fetch_version(client, name, 1))
    fetch_version.cache_clear()
    found = check(client, name, 1, "staging")
    for rule in ("signature_and_example", "model_answers", "pinned_requirements"):
        outcome, evidence = found[rule]
        assert outcome == "fail" and f"The artifacts of version 1 of {name} are gone" in evidence
        assert "Restore them, or train and register again." in evidence


def test_a_model_without_signature_example_or_pins_fails(client: Any, name: str) -> None:
    add_version(client, name)
    folder = fetch_version(client, name, 1)
    (folder / "requirements.txt").write_text("mlflow==3.17.2  # pinned\nxgboost>=3\npandas==2.*\nnumpy\n")
    outcome, evidence = check(client, name, 1, "staging")["pinned_requirements"]
    assert (outcome, evidence) == ("fail", "Not pinned: xgboost>=3, pandas==2.*, numpy. Write each as name==version.")
    lines = (folder / "MLmodel").read_text().split("\n")
    (folder / "MLmodel").write_text("\n".join(_without(_without(lines, "signature"), "saved_input_example_info")))
    found = check(client, name, 1, "staging")
    missing = "a signature of its inputs and a signature of its outputs and an input example"
    assert found["signature_and_example"] == ("fail", f"The model lacks {missing}. Log it with both, as train.ipynb does.")
    assert found["model_answers"][0] == "fail"


def test_a_model_that_does_not_load_fails_with_its_error(client: Any, name: str) -> None:
    add_version(client, name)
    (booster,) = fetch_version(client, name, 1).rglob("model.ubj")
    booster.write_bytes(b"broken")
    load_version.cache_clear()
    outcome, evidence = check(client, name, 1, "staging")["model_answers"]
    assert outcome == "fail" and "cannot be loaded" in evidence and "Restore it, or train and register again." in evidence


def _without(lines: list[str], key: str) -> list[str]:
    """Return a YAML file's lines without one of its top keys."""
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{key}:"))
    end = next(number for number in range(start + 1, len(lines)) if lines[number][:1] not in (" ", "-"))
    return lines[:start] + lines[end:]
