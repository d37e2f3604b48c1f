"""Reasons in a scored file: the columns with the largest contributions, streamed with the predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from tests.support.packages import Packaged

from boostlab.errors import DataError
from boostlab.models.loading import wrap_predictor
from boostlab.scoring import reasons as module
from boostlab.scoring.scorer import score_file

LOGGED_BEFORE = Path(__file__).parents[1] / "models" / "logged_by_0_1"


def choose(predictor: Any, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the contributions that reasons are chosen from: of the predicted class, the second of two, or the median."""
    found, contract = predictor.contributions(rows)[:, :, :-1], predictor.contract
    if len(contract.labels) > 2:
        place = [contract.labels.index(label) for label in predictor.predict(rows).tolist()]
        return np.array([each[which] for each, which in zip(found, place, strict=True)])
    return np.asarray(found[:, len(contract.quantiles) // 2])


@pytest.mark.parametrize("name", ["own", "own_quantiles", "own_classes", "iris"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_adds_the_largest_contributions_of_each_row(
    package: Callable[[str], Packaged], tmp_path: Path, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, predictor, split = package(name)
    contract, rows = predictor.contract, split.test.head(40)
    path, output = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}"
    rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_parquet(path, index=False)
    monkeypatch.setattr(module, "MOST_NUMBERS", 300)  # a few rows at a time
    plain = score_file(wrap_predictor(folder), contract, rows=str(path), output=tmp_path / f"plain{suffix}", chunk_rows=17)
    scored = score_file(wrap_predictor(folder), contract, rows=str(path), output=output, reasons=3, chunk_rows=17)
    out = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    expected = choose(predictor, rows)

    assert scored.columns == plain.columns + [f"{what} {n}" for n in (1, 2, 3) for what in ("reason", "contribution")]
    for row, contributions in enumerate(expected):
        named = dict(zip(contract.names, contributions, strict=True))
        reasons = [out[f"reason {n}"][row] for n in (1, 2, 3)]
        given = [out[f"contribution {n}"][row] for n in (1, 2, 3)]
        assert [named[reason] for reason in reasons] == given and len(set(reasons)) == 3
        assert np.abs(given).tolist() == sorted(np.abs(contributions))[::-1][:3]


def test_a_decimal_comma_and_a_name_that_the_file_has_already(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, predictor, split = package("diabetes")
    rows = split.test.head(3)[predictor.contract.names]
    texts = {name: [repr(value).replace(".", ",") for value in rows[name].tolist()] for name in rows}
    pd.DataFrame({"reason 1": ["a", "b", "c"]} | texts).to_csv(tmp_path / "rows.csv", index=False, sep=";")
    scored = score_file(
        wrap_predictor(folder), predictor.contract, rows=str(tmp_path / "rows.csv"), output=tmp_path / "out.csv", reasons=1
    )
    out = pd.read_csv(tmp_path / "out.csv", sep=";", decimal=",")
    assert out["reason 1"].tolist() == ["a", "b", "c"] and len(set(out.columns)) == len(out.columns)
    contributions = predictor.contributions(rows)[:, 0, :-1]
    assert np.abs(out[scored.columns[-1]]).tolist() == np.abs(contributions).max(axis=1).tolist()


def test_code_of_an_earlier_version_gives_none_and_the_installed_predictor_does(tmp_path: Path) -> None:
    model = LOGGED_BEFORE / "model"
    pd.read_parquet(LOGGED_BEFORE / "rows.parquet").to_parquet(tmp_path / "rows.parquet")
    ours = wrap_predictor(model)
    options: dict[str, Any] = {"rows": str(tmp_path / "rows.parquet"), "output": tmp_path / "out.parquet", "reasons": 2}
    contract = ours._model_impl.contract
    with pytest.raises(DataError, match="own code gives no contributions: set reasons to 0, or trust_code to False"):
        score_file(mlflow.pyfunc.load_model(str(model)), contract, **options)
    assert not (tmp_path / "out.parquet").exists()
    assert score_file(ours, contract, **options).columns[-4:] == ["reason 1", "contribution 1", "reason 2", "contribution 2"]
