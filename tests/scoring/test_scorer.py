"""Scoring of a file: the same rows in the same order, with the model's own predictions, in chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.packages import Packaged

from boostlab.errors import DataError
from boostlab.models.contract import Contract
from boostlab.models.loading import open_predictor, wrap_predictor
from boostlab.scoring.output import name_output
from boostlab.scoring.scorer import score_file

IRIS = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"


def load(packaged: Packaged) -> tuple[Any, Contract, pd.DataFrame]:
    """Return a model, its contract and rows that training did not see."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(packaged[0])), packaged[1].contract, packaged[2].test.head(60)


@pytest.mark.parametrize("name", ["own", "own_quantiles", "own_classes", "own_folds", "iris"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_keeps_rows_and_order_and_adds_the_models_predictions(
    package: Callable[[str], Packaged], tmp_path: Path, name: str, suffix: str
) -> None:
    model, contract, rows = load(package(name))
    rows = rows.assign(**{"order no": [f"A-{number:03d}" for number in range(len(rows))]})
    path, output = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}"
    rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_parquet(path, index=False)
    expected = package(name)[1].predict(rows)

    scored = score_file(model, contract, rows=str(path), output=output, probabilities=bool(contract.labels), chunk_rows=17)
    out = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)

    assert scored.rows == len(out) == len(rows)
    answers = contract.answer_names or ["prediction"]
    assert scored.columns == [*answers, *(f"probability of {label}" for label in contract.labels)]
    assert list(out.columns) == [*rows.columns, *scored.columns]
    assert out["order no"].tolist() == rows["order no"].tolist()
    assert out[answers].to_numpy().ravel().tolist() == np.asarray(expected).ravel().tolist()
    if suffix == ".parquet":
        pd.testing.assert_frame_equal(out[rows.columns], rows, check_dtype=False)


def test_other_columns_and_the_form_of_a_csv_file_are_kept(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("diabetes"))
    rows = rows[contract.names].head(3)
    texts = {name: [repr(value).replace(".", ",") for value in rows[name].tolist()] for name in rows}
    own = {"code": ["007", "NA", ""], 'say "x"': ["a;b", "null", " x "]}
    path = tmp_path / "rows.csv"
    pd.DataFrame(own | texts).to_csv(path, index=False, sep=";", encoding="utf-16")

    score_file(model, contract, rows=str(path), output=tmp_path / "out.csv")

    out = pd.read_csv(tmp_path / "out.csv", sep=";", dtype=str, keep_default_na=False)
    assert out.drop(columns="prediction").to_dict("list") == own | texts
    assert [float(text.replace(",", ".")) for text in out["prediction"]] == np.asarray(
        package("diabetes")[1].predict(rows)
    ).tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_rows_that_do_not_meet_a_condition_are_left_out(package: Callable[[str], Packaged], tmp_path: Path, suffix: str) -> None:
    model, contract, rows = load(package("own"))
    rows = rows.assign(number=range(len(rows)))
    path, output = tmp_path / f"rows{suffix}", tmp_path / "out.parquet"
    rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_parquet(path, index=False, row_group_size=10)

    scored = score_file(model, contract, rows=str(path), output=output, chunk_rows=17, where="number >= 20 and number != 30")

    out = pd.read_parquet(output)
    assert out["number"].tolist() == [*range(20, 30), *range(31, len(rows))]
    assert (scored.rows, scored.rows_not_selected) == (len(out), len(rows) - len(out))
    assert out["prediction"].tolist() == np.asarray(package("own")[1].predict(rows))[out["number"]].tolist()
    with pytest.raises(DataError, match=r"none of the \d+ rows of .* meets it"):
        score_file(model, contract, rows=str(path), output=tmp_path / "none.csv", where="number > 99")
    assert not (tmp_path / "none.csv").exists()


def test_the_answer_of_a_query_is_scored(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("own"))
    rows.assign(number=range(len(rows))).to_parquet(tmp_path / "rows.parquet", index=False)
    query = f"sql:SELECT * FROM '{tmp_path}/rows.parquet' ORDER BY number"
    scored = score_file(model, contract, rows=query, output=tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert scored.rows == len(rows)
    assert out["prediction"].tolist() == np.asarray(package("own")[1].predict(rows)).tolist()


def test_lists_are_written_to_parquet_and_refused_in_csv(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("iris"))
    rows.assign(tags=pd.Series([["a"]] * len(rows), dtype=object)).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"out\.csv cannot be written: .*list.* Name a \.parquet file as output"):
        score_file(model, contract, rows=str(tmp_path / "rows.parquet"), output=tmp_path / "out.csv")
    scored = score_file(model, contract, rows=str(tmp_path / "rows.parquet"), output=tmp_path / "out.parquet")
    assert pd.read_parquet(scored.path)["tags"].tolist()[0].tolist() == ["a"]


def test_a_csv_file_of_the_features_alone_becomes_a_parquet_file(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("iris"))
    rows[contract.names].to_csv(tmp_path / "rows.csv", index=False)
    score_file(model, contract, rows=str(tmp_path / "rows.csv"), output=tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert out["prediction"].tolist() == np.asarray(model.predict(rows)).tolist()
    pd.testing.assert_frame_equal(out[contract.names], rows[contract.names], check_dtype=False)


def test_columns_without_a_name_are_written_as_they_are_or_left_out(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("iris"))
    lines = [",".join(map(str, row)) for row in rows[contract.names].head(2).to_numpy()]
    (tmp_path / "1.csv").write_text(f",{IRIS.strip()},\n" + "".join(f"{number},{line},\n" for number, line in enumerate(lines)))
    (tmp_path / "2.csv").write_text(IRIS + "\n".join(lines))
    expected = np.asarray(model.predict(rows.head(2))).tolist()
    for name, first in (("1.csv", ""), ("*.csv", contract.names[0])):
        score_file(model, contract, rows=str(tmp_path / name), output=tmp_path / "out" / "out.csv")
        header, *out = (tmp_path / "out" / "out.csv").read_text().replace('"', "").splitlines()
        assert header.split(",") == [*([""] if not first else []), *contract.names, "prediction"]
        assert [line.split(",")[-1] for line in out] == expected * (len(out) // 2)
        assert out[1].startswith(lines[1] if first else f"1,{lines[1]}")


def test_holds_some_chunks_in_memory(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, predictor, split = package("iris")
    count = 40_000
    rows = split.test.head(60).iloc[np.arange(count) % len(split.test)].reset_index(drop=True)
    others = pd.DataFrame(
        np.random.default_rng(0).normal(size=(count, 100)), columns=[f"other {number}" for number in range(100)]
    )
    pd.concat([rows, others], axis=1).to_parquet(tmp_path / "rows.parquet", row_group_size=2_000)
    held: list[int] = []
    before = pa.total_allocated_bytes()

    scored = score_file(
        open_predictor(folder),
        predictor.contract,
        rows=str(tmp_path / "rows.parquet"),
        output=tmp_path / "out.parquet",
        chunk_rows=1_000,
        watch=lambda _: held.append(pa.total_allocated_bytes() - before),
    )

    assert scored.rows == count and len(held) == 40
    assert max(held) < 12 << 20  # of 33 MB


def test_scores_a_folder_of_files_in_order(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("iris"))
    (tmp_path / "parts").mkdir()
    rows.iloc[:10].to_parquet(tmp_path / "parts" / "a.parquet")
    rows.iloc[10:].to_parquet(tmp_path / "parts" / "b.parquet")

    scored = score_file(model, contract, rows=str(tmp_path / "parts"), output=tmp_path / "out.parquet")

    assert scored.rows == len(rows)
    assert pd.read_parquet(scored.path)[rows.columns].to_numpy().tolist() == rows.to_numpy().tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sepal length (cm),x\n1,2\n", "lacks columns that the model needs: sepal width"),
        ("a,b,c,d\n", "lacks columns"),
        (IRIS + "1,2,3,4\n1,2,three,4\n", r"'petal length \(cm\)' is not of the type number: 'three' in row 2 of "),
        (IRIS + "1,2,3\n", "cannot be read"),
        (IRIS, "has no rows"),
        (IRIS + "1,2,3,inf\n", "takes finite numbers up to 3.4e38, not inf"),
    ],
)
def test_writes_nothing_for_an_input_that_it_cannot_score(
    package: Callable[[str], Packaged], tmp_path: Path, content: str, message: str
) -> None:
    model, contract, _ = load(package("iris"))
    (tmp_path / "rows.csv").write_text(content)

    with pytest.raises(DataError, match=message):
        score_file(model, contract, rows=str(tmp_path / "rows.csv"), output=tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_names_the_row_of_a_wrong_value_in_the_file(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    _, contract, rows = load(package("own"))
    model = wrap_predictor(package("own")[0])
    wrong = ["maybe" if row == 11 else "true" for row in range(len(rows))]
    rows.assign(new=wrong).to_parquet(tmp_path / "rows.parquet", index=False)

    with pytest.raises(DataError, match=r"Column 'new' takes true or false, not 'maybe' \(row 12\)"):
        score_file(model, contract, rows=str(tmp_path / "rows.parquet"), output=tmp_path / "out.csv", chunk_rows=7)


def test_never_overwrites_the_input(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, contract, rows = load(package("iris"))
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    before = path.read_bytes()

    with pytest.raises(DataError, match="is the input"):
        score_file(model, contract, rows=str(path), output=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "expected"), [("a.csv.gz", "a-scored.csv"), ("a.parquet", "a-scored.parquet")])
def test_names_the_output_after_the_input(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).touch()

    assert name_output(str(tmp_path / name), "") == tmp_path / expected
    assert name_output(str(tmp_path / name), str(tmp_path / "b.csv")) == tmp_path / "b.csv"


def test_the_output_never_becomes_an_input(
    package: Callable[[str], Packaged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, contract, rows = load(package("iris"))
    folder = tmp_path / "flowers"
    folder.mkdir()
    rows.to_parquet(folder / "a.parquet")
    monkeypatch.chdir(tmp_path)
    assert name_output("flowers", "") == tmp_path / "flowers-scored.parquet"
    with pytest.raises(DataError, match="would find its own output a-scored"):
        name_output("flowers/*.parquet", "")
    assert name_output("flowers/[a-b].parquet", "") == folder / "a-scored.parquet"
    for output in (folder / "b.parquet", folder / "year=2026" / "b.parquet"):
        with pytest.raises(DataError, match="is in the folder of the input, and would be a part of it"):
            score_file(model, contract, rows="flowers", output=output)
    with pytest.raises(DataError, match="is there, and the query names it"):
        score_file(model, contract, rows="sql:SELECT * FROM 'flowers/a.parquet'", output=folder / "a.parquet")
    assert len(pd.read_parquet(folder)) == len(rows)


def test_the_code_of_a_model_runs_in_the_calling_thread(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, predictor, split = package("iris")
    split.test.head(40).to_parquet(tmp_path / "rows.parquet")
    threads = set()

    class Foreign:
        def predict(self, rows: pd.DataFrame) -> Any:
            threads.add(threading.get_ident())
            return wrap_predictor(folder).predict(rows)

    score_file(Foreign(), predictor.contract, rows=str(tmp_path / "rows.parquet"), output=tmp_path / "out.csv", chunk_rows=7)
    assert threads == {threading.get_ident()}


def test_a_row_of_a_csv_file_can_be_long(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, predictor, split = package("iris")
    rows = split.test.head(3).assign(picture=["a", "b" * (9 << 20), "c"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    score_file(open_predictor(folder), predictor.contract, rows=str(tmp_path / "rows.csv"), output=tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["picture"].str.len().tolist() == [1, 9 << 20, 1]
