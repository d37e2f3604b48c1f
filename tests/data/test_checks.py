"""Checks of the data: what was planted is found with the right figures, and chance is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier
from tests.support.settings import make_settings

from boostlab.data.checks import check_data
from boostlab.data.columns import profile_columns
from boostlab.data.drift import compare_parts
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.models.contract import Feature


def check(folder: Path, frame: pd.DataFrame, **options: Any) -> tuple[list[str], Split]:
    """Return the findings on a table with the target y, and its split."""
    frame.to_parquet(folder / "t.parquet", index=False)
    settings = make_settings(dataset=str(folder / "t.parquet"), target="y", **options)
    split = split_table(load_table(settings), settings)
    return check_data(split, profile_columns(split)), split


def make_rows(seed: int = 0, *, rows: int = 1000) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": draw.normal(size=rows), "b": draw.choice(["x", "y", "z"], rows)})
    return frame.assign(y=np.where(frame["a"] + draw.normal(size=rows) > 0, "yes", "no"))


def contradict(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Add copies of the first rows that have the other class."""
    copies = frame.head(count)
    return pd.concat([frame, copies.assign(y=np.where(copies["y"] == "yes", "no", "yes"))], ignore_index=True)


def test_equal_rows_of_other_classes_bound_the_accuracy(tmp_path: Path) -> None:
    frame = contradict(make_rows(), 200)
    (finding,), split = check(tmp_path, frame)
    train = frame.iloc[split.train.rows]
    both = train.groupby(["a", "b"])["y"].transform("nunique") == 2
    inputs = train[["a"]]  # fractions: equal a means equal rows
    nearest = KNeighborsClassifier(1).fit(inputs, train["y"]).score(inputs, train["y"])  # of equal rows, one class wins

    assert finding == (
        f"{both.sum()} of {len(train)} training rows equal a row of another class in all columns of the model. On the training "
        f"rows, its accuracy can be {100 * nearest:.4g}% at most. Check the labels, or add a column that tells these rows apart."
    )
    assert both.sum() > 100


def test_a_column_that_is_left_out_does_not_tell_equal_rows_apart(tmp_path: Path) -> None:
    frame = contradict(make_rows(), 200)
    frame["id"] = [f"row {number}" for number in range(len(frame))]
    findings, _ = check(tmp_path, frame)

    assert len(findings) == 1 and "equal a row of another class" in findings[0]
    assert not check(tmp_path, frame.assign(time=np.arange(1200) % 977 + 0.5))[0]  # a feature that does


def test_conflicts_count_by_the_weights_of_the_rows(tmp_path: Path) -> None:
    frame = contradict(make_rows(), 200)
    frame["w"] = np.where(np.arange(1200) < 1000, 1.0, 0.5)
    (finding,), split = check(tmp_path, frame, sample_weight="w")
    train = frame.iloc[split.train.rows]
    best = train.groupby(["a", "b", "y"])["w"].sum().groupby(["a", "b"]).max().sum() / train["w"].sum()

    assert f"accuracy can be {100 * best:.4g}% at most" in finding


@pytest.mark.parametrize("count", [0, 2])
def test_few_conflicts_and_exact_copies_are_no_finding(tmp_path: Path, count: int) -> None:
    frame = contradict(make_rows(), count)
    assert check(tmp_path, pd.concat([frame, frame.head(300)]))[0] == []


def test_a_coarse_table_has_no_conflicts(tmp_path: Path) -> None:
    frame = make_rows(rows=2000)
    assert check(tmp_path, frame.assign(a=frame["a"] > 0))[0] == []


def test_a_conflict_of_a_rare_class_counts_by_its_events(tmp_path: Path) -> None:
    frame = make_rows(rows=4000)
    frame["y"] = np.where(np.arange(4000) < 40, "yes", "no")
    findings, _ = check(tmp_path, contradict(frame, 20).sample(frac=1, random_state=0))

    assert len(findings) == 1 and "accuracy can be 99." in findings[0]


def test_equal_rows_bound_the_rmse_of_a_quantity(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": np.repeat(draw.normal(size=400), 3)})
    frame["y"] = frame["a"] * 3 + draw.normal(0, 2, 1200)
    (finding,), split = check(tmp_path, frame)
    train = frame.iloc[split.train.rows]
    sizes = train.groupby("a")["y"].transform("size")
    pooled = (train["y"] - train.groupby("a")["y"].transform("mean")).pow(2).sum() / (len(train) - train["a"].nunique())

    assert finding == (
        f"{(sizes > 1).sum()} of {len(train)} training rows equal another row in all columns of the model. Among equal rows, 'y' "
        f"has a standard deviation of {pooled**0.5:.4g}: on such rows no RMSE is smaller. Add a column that tells them apart."
    )
    assert 1.8 < pooled**0.5 < 2.2
    little = frame.assign(y=frame["a"] + draw.normal(0, 0.01, 1200))
    assert check(tmp_path, little, keep=["a"])[0] == []  # a floor that does not matter


def hide(frame: pd.DataFrame, column: str, where: Any) -> pd.DataFrame:
    return frame.assign(**{column: frame[column].mask(where)})


def test_a_gap_that_tells_the_class_is_a_finding(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    frame = make_rows().assign(c=draw.normal(size=1000))
    frame = hide(frame, "a", draw.random(1000) < np.where(frame["y"] == "yes", 0.6, 0.1))
    frame = hide(frame, "b", draw.random(1000) < 0.3)  # by chance
    (finding,), split = check(tmp_path, frame)
    shares = frame.iloc[split.train.rows].groupby("y")["a"].agg(lambda values: values.isna().mean())
    first = frame["y"].iloc[split.train.rows].iloc[0]
    other = {"yes": "no", "no": "yes"}[first]

    assert finding == (
        f"The column 'a' is missing in {shares[first]:.0%} of the training rows of class {first!r} and in {shares[other]:.0%} of "
        "the others. If it is filled in after 'y' is known, leave it out."
    )


def test_the_class_with_the_largest_difference_is_named(tmp_path: Path) -> None:
    frame = make_rows(rows=1500).assign(y=np.arange(1500) % 5)
    draw = np.random.default_rng(1)
    (finding,), _ = check(tmp_path, hide(frame, "b", draw.random(1500) < np.where(frame["y"] == 3, 0.9, 0.2)))

    assert "of the training rows of class 3 and in " in finding


def test_a_gap_that_tells_a_quantity_is_a_finding(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = make_rows().assign(y=draw.normal(10, 2, 1000), c=draw.normal(size=1000))
    frame = hide(frame, "a", frame["y"] + draw.normal(0, 2, 1000) > 11)
    frame["d"] = frame["a"] * 2  # missing in the same rows
    (finding,), split = check(tmp_path, frame)
    train = frame.iloc[split.train.rows]
    inside, outside = train["y"][train["a"].isna()].median(), train["y"][train["a"].notna()].median()

    assert finding == (
        f"The columns 'a' and 1 more are missing where 'y' has a median of {inside:.4g}; in the other training rows it is "
        f"{outside:.4g}. If they are filled in after 'y' is known, leave them out."
    )


def test_a_sure_gap_that_tells_little_is_none(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = make_rows(rows=20_000)
    frame = hide(frame, "a", draw.random(20_000) < np.where(frame["y"] == "yes", 0.55, 0.45))
    findings, split = check(tmp_path, frame)
    train = frame.iloc[split.train.rows]

    assert stats.chi2_contingency(pd.crosstab(train["a"].isna(), train["y"])).pvalue < 1e-9
    assert findings == []


def test_rows_of_one_group_are_one_case(tmp_path: Path) -> None:
    """Each of 30 patients has one class and either all values or none: 1,500 rows would make chance look sure."""
    found = {"together": 0, "apart": 0}
    for seed in range(30):
        draw = np.random.default_rng(seed)
        patient = np.repeat(np.arange(30), 50)
        frame = pd.DataFrame({"a": draw.normal(size=1500), "c": draw.normal(size=1500), "patient": patient})
        frame["y"] = np.where((draw.random(30) < 0.5)[patient], "sick", "well")
        frame = hide(frame, "a", (draw.random(30) < 0.5)[patient])
        found["together"] += any("missing" in text for text in check(tmp_path, frame, group="patient", drop=["c"])[0])
        found["apart"] += any("missing" in text for text in check(tmp_path, frame.drop(columns="patient"))[0])

    assert found["together"] <= 4 and found["apart"] >= 6, found


def test_chance_makes_few_findings(tmp_path: Path) -> None:
    alarms = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        frame = pd.DataFrame({f"c{number}": draw.normal(size=200) for number in range(8)})
        frame = frame.mask(draw.random(frame.shape) < 0.2)
        alarms += bool(check(tmp_path, frame.assign(y=draw.choice(["u", "v", "w"], 200)))[0])

    assert alarms <= 7  # of 5 %, more than 7 of 60 have a probability of 1 %


def make_days(rows: int = 900) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    later = np.arange(rows) > 0.7 * rows
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=rows), "same": draw.normal(size=rows)})
    frame["shifted"] = draw.normal(size=rows) + 2 * later
    frame["lost"] = pd.Series(draw.normal(size=rows)).mask(draw.random(rows) < np.where(later, 0.5, 0.05))
    frame["kind"] = np.where(later & (draw.random(rows) < 0.5), "new", draw.choice(["x", "y"], rows))
    return frame.assign(y=frame["same"] + draw.normal(size=rows))


def test_columns_that_drift_along_time_are_findings(tmp_path: Path) -> None:
    frame = make_days()
    findings, split = check(tmp_path, frame, time="day", split="time")
    train, test = (frame.iloc[part.rows] for part in (split.train, split.test))

    assert [text.split("'")[1] for text in findings] == ["kind", "shifted", "lost"]
    assert findings[1].startswith("The column 'shifted' has drifted from the training to the test part: PSI ")
    assert findings[1].endswith(", and 0.25 is large.")
    gaps = [f"{part['lost'].isna().mean():.1%}" for part in (train, test)]
    assert f"It is missing in {gaps[0]} of the training rows and in {gaps[1]} of the test rows." in findings[2]
    new = (test["kind"] == "new").mean()
    assert f"Of the test rows, {new:.1%} (new) have a category that the model does not know." in findings[0]
    assert check(tmp_path, frame.drop(columns="day"))[0] == []  # a random split has no drift


def test_a_test_table_that_differs_is_a_finding(tmp_path: Path) -> None:
    frame = make_days()
    frame.tail(200).to_parquet(tmp_path / "test.parquet", index=False)
    findings, _ = check(tmp_path, frame.head(600), test_dataset=str(tmp_path / "test.parquet"), drop=["day"])

    assert [text.split("'")[1] for text in findings] == ["kind", "shifted", "lost"]


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0), (3.0, 10)])
def test_groups_are_drawn_as_a_whole(shift: float, expected: int) -> None:
    """A value for each of 60 groups: with rows for cases, chance looks like drift."""
    feature = [Feature("x", "number", "double")]
    found, naive = 0, 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 30)
        values = pd.DataFrame({"x": (draw.normal(size=60) + shift * (np.arange(60) >= 45))[groups]})
        before, after = values.head(1350), values.tail(450)
        found += (compare_parts(feature, before, after, groups)["verdict"] == "drifted").item()
        naive += (compare_parts(feature, before, after)["verdict"] == "drifted").item()

    assert abs(found - expected) <= 2 and naive >= 8
