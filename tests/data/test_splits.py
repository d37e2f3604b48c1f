"""Splits are disjoint and complete: no group on both sides, no future in training, each class in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import Part, Split, split_table
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError
from boostlab.evaluation.metrics import evaluate_test
from boostlab.training.fit import fit_booster

ROWS = 300
PARTS = ("train", "valid", "test")


def make_table(tmp_path: Path, **roles: str) -> Table:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": draw.normal(size=ROWS),
            "who": draw.integers(0, 40, ROWS),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 60, ROWS), unit="D"),
            "weight": draw.uniform(0.5, 2, ROWS),
            "y": draw.choice(["no", "yes"], ROWS, p=[0.8, 0.2]),
        }
    )
    return write_table(tmp_path, frame, **roles)


def write_table(tmp_path: Path, frame: pd.DataFrame, *, ending: str = ".parquet", **roles: Any) -> Table:
    path = tmp_path / f"t{ending}"
    frame.to_parquet(path, index=False) if ending == ".parquet" else frame.to_csv(path, index=False)
    return load_table(make_settings(dataset=str(path), target="y", **roles))


def make_classes(tmp_path: Path, classes: dict[str, int]) -> Table:
    target = [name for name, count in classes.items() for _ in range(count)]
    return write_table(tmp_path, pd.DataFrame({"a": np.arange(len(target), dtype=float), "y": target}))


def split(table: Table, *, by_time: bool = False, **options: Any) -> Split:
    own = {"dataset": __file__, "target": "y", "time": "when", "split": "time"} if by_time else {}
    return split_table(table, make_settings(**{"test_size": 0.2, "valid_size": 0.25, "split_seed": 3, **own, **options}))


def list_parts(parts: Split) -> list[Part]:
    return [getattr(parts, name) for name in PARTS]


def column(table: Table, name: str) -> np.ndarray:
    return np.asarray(table.data.column(name).to_pandas())


@pytest.mark.parametrize(("roles", "by_time"), [({}, False), ({"group": "who"}, False), ({"time": "when"}, True)])
def test_parts_are_disjoint_and_complete(tmp_path: Path, roles: dict[str, str], by_time: bool) -> None:
    parts = split(make_table(tmp_path, **roles), by_time=by_time)
    rows = np.concatenate([parts.train.rows, parts.valid.rows, parts.test.rows])
    assert sorted(rows) == list(range(ROWS))
    assert all((np.diff(part.rows) > 0).all() for part in (parts.train, parts.valid, parts.test))


def test_a_random_split_keeps_the_shares_of_classes_unless_stratify_is_off(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    share = (table.target == "yes").mean()
    parts = split(table)
    assert [len(parts.test), len(parts.valid)] == [60, 75]
    assert all(abs((part.target == "yes").mean() - share) < 0.02 for part in (parts.train, parts.valid, parts.test))
    assert (split(table, stratify=False).test.rows != parts.test.rows).any()


def test_no_group_stands_on_both_sides(tmp_path: Path) -> None:
    table = make_table(tmp_path, group="who")
    parts = split(table)
    groups = [set(column(table, "who")[part.rows]) for part in (parts.train, parts.valid, parts.test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert "who" not in table.features


def test_a_split_by_time_trains_on_the_past_and_keeps_equal_times_together(tmp_path: Path) -> None:
    table = make_table(tmp_path, time="when")
    parts = split(table, by_time=True)
    times = [column(table, "when")[part.rows] for part in (parts.train, parts.valid, parts.test)]
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()


def test_weights_follow_their_rows(tmp_path: Path) -> None:
    table = make_table(tmp_path, sample_weight="weight")
    part = split(table).valid
    assert part.weight == pytest.approx(column(table, "weight")[part.rows].astype(np.float32))


def test_split_seed_alone_draws_the_split(tmp_path: Path) -> None:
    """Runs with different seeds of the sampling share their test rows, so that their figures can be ranked."""
    table = make_table(tmp_path)
    assert (split(table, seed=1).test.rows == split(table, seed=2).test.rows).all()
    assert (split(table, split_seed=4).test.rows != split(table).test.rows).any()


@pytest.mark.parametrize(
    ("frame", "roles", "message"),
    [
        ({"y": ["a"] * 9}, {}, "has one class only, 'a'"),
        ({"y": ["a"] * 9 + ["b"]}, {}, "The class 'b' of 'y' has 1 row"),
        ({"y": ["a", "b"] * 20, "g": [1, 2] * 20}, {"group": "g"}, "of 2 groups"),
        ({"y": ["a", "b"] * 20, "g": [None, 2.0] * 20}, {"group": "g"}, "The group column 'g' has 20 missing values"),
        ({"y": ["a", "b"] * 20, "w": [-1.0, 2.0] * 20}, {"sample_weight": "w"}, "The sample weights 'w' must be numbers"),
    ],
)
def test_refuses_a_split_that_cannot_be_made(
    tmp_path: Path, frame: dict[str, list[object]], roles: dict[str, str], message: str
) -> None:
    table = write_table(tmp_path, pd.DataFrame({"x": range(len(frame["y"])), **frame}), **roles)
    with pytest.raises(DataError, match=message):
        split(table)


def test_refuses_a_class_that_is_absent_from_the_training_part(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(40), "when": pd.date_range("2024-01-01", periods=40), "y": ["a", "b"] * 15 + ["c"] * 10})
    table = write_table(tmp_path, frame, time="when")
    with pytest.raises(DataError, match="The class 'c' of 'y' has no row in the training part"):
        split(table, by_time=True)


def test_makes_parts_of_the_requested_sizes_and_tabulates_them() -> None:
    table = load_table(make_settings(dataset="diabetes"))
    parts = split(table, test_size=0.3, valid_size=0.1)

    assert parts.sizes()["rows"].to_dict() == {"train": 442 - 133 - 44, "valid": 44, "test": 133}
    assert parts.sizes()["share"].tolist() == ["60%", "10%", "30%"]


@pytest.mark.parametrize(
    ("classes", "test", "valid"),
    [({"a": 3, "b": 3}, 1 / 3, 1 / 3), ({"a": 97, "b": 3}, 0.2, 0.2), ({"a": 97, "b": 3}, 0.05, 0.05)],
)
def test_each_class_is_in_the_training_part(tmp_path: Path, classes: dict[str, int], test: float, valid: float) -> None:
    parts = split(make_classes(tmp_path, classes), test_size=test, valid_size=valid)

    assert set(parts.train.target) == set(classes)


def test_refuses_a_class_that_is_too_rare_for_a_split_by_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be split by class: .* set stratify to False\."):
        split(make_classes(tmp_path, {"a": 12, "b": 3}), test_size=0.5, valid_size=0.2)


@pytest.mark.parametrize(
    ("task", "test", "valid", "words"),
    [
        ("regression", 0.01, 0.2, "The test part of 't.parquet' would have 0 of 21 rows, and needs at least 1"),
        ("regression", 0.2, 0.01, "The validation part of 't.parquet' would have 0 of 21 rows"),
        ("regression", 0.52, 0.47, "The training part of 't.parquet' would have 0 of 21 rows"),
        ("classification", 0.1, 0.2, "The test part of 't.parquet' would have 2 of 21 rows, and needs at least 3"),
    ],
)
def test_refuses_a_part_that_is_too_small(tmp_path: Path, task: str, test: float, valid: float, words: str) -> None:
    frame = pd.DataFrame({"a": range(21), "y": [0.5, 1.5, 2.5] * 7 if task == "regression" else ["a", "b", "c"] * 7})

    with pytest.raises(DataError, match=rf"{words}.*Change test_size or valid_size"):
        split(write_table(tmp_path, frame), test_size=test, valid_size=valid)


@pytest.mark.parametrize("written", ["%d/%m/%Y", "%m/%d/%Y", "%b %d, %Y", "%-d.%-m.%Y"])
def test_a_split_by_text_times_trains_on_the_past_and_shows_the_format(tmp_path: Path, written: str) -> None:
    days = pd.Series(pd.date_range("2022-01-01", periods=ROWS))
    table = write_table(
        tmp_path, pd.DataFrame({"x": range(ROWS), "when": days.dt.strftime(written), "y": days.dt.day / 2}), time="when"
    )
    parts = split(table, by_time=True)

    assert [part.rows.tolist() for part in list_parts(parts)] == [[*range(165)], [*range(165, 240)], [*range(240, ROWS)]]
    read = written.replace("-", "")
    assert parts.sizes()[f"time, read as {read}"].tolist()[0] == "2022-01-01 to 2022-06-14"
    assert parts.tags()["boostlab.time_format"] == read


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", "b"], "The column 'when' is not of the type date: 'a' in row 1"),
        (["31/12/2023", "soon"], "The column 'when' is not of the type date"),
        (["1/2/2023", "3/4/2023"], "The column 'when' has two readings: '1/2/2023' is .*read: {day_first: true} or"),
        ([True, False], "The time column 'when' holds bool values"),
    ],
)
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_refuses_times_that_are_no_dates_or_have_two_readings(
    tmp_path: Path, texts: list[object], message: str, ending: str
) -> None:
    frame = pd.DataFrame({"x": range(40), "when": texts * 20, "y": np.arange(40) / 2})
    with pytest.raises(DataError, match=message):
        split(write_table(tmp_path, frame, ending=ending, time="when"), by_time=True)


def test_orders_times_by_the_reading_that_the_user_states(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(10), "when": [f"{n}/{11 - n}/2023" for n in range(1, 11)], "y": np.arange(10) / 2})
    for day_first, rows in ((True, [1, 0]), (False, [8, 9])):
        table = write_table(tmp_path, frame, time="when", read={"day_first": day_first})
        assert sorted(split(table, by_time=True).test.rows) == sorted(rows)


def test_a_gap_leaves_out_and_counts_the_last_rows_before_the_next_part(tmp_path: Path) -> None:
    table = make_table(tmp_path, time="when")
    parts = split(table, by_time=True, time_gap="7 days")
    times = [pd.Series(column(table, "when")[part.rows]) for part in list_parts(parts)]

    whole = split(table, by_time=True)
    assert (parts.test.rows == whole.test.rows).all()
    assert times[1].min() - times[0].max() == times[2].min() - times[1].max() == pd.Timedelta(days=7)
    (lost,) = parts.left_out.values()
    assert lost == ROWS - sum(map(len, list_parts(parts))) > 0
    assert parts.sizes()["rows"].to_dict()["left out: in the gap of time"] == lost
    assert parts.tags()["boostlab.rows_left_out"] == f'{{"in the gap of time": {lost}}}'


def test_refuses_a_gap_that_leaves_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"The training part of 't.parquet' would have 0 of"):
        split(make_table(tmp_path, time="when"), by_time=True, time_gap="50 days")


def test_by_time_and_group_no_group_is_in_two_parts_and_the_past_is_learned_from(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    who = np.repeat(np.arange(100), 3)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(who + draw.integers(0, 20, ROWS), unit="D")
    frame = pd.DataFrame({"x": draw.normal(size=ROWS), "who": who, "when": when, "y": draw.normal(size=ROWS)})
    table = write_table(tmp_path, frame, time="when", group="who")
    parts = split(table, by_time=True)

    groups = [set(column(table, "who")[part.rows]) for part in list_parts(parts)]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    times = [column(table, "when")[part.rows] for part in list_parts(parts)]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    whole = split(write_table(tmp_path, frame, time="when"), by_time=True)
    assert (parts.test.rows == whole.test.rows).all()
    assert parts.left_out == {"of groups that continue in a later part": ROWS - sum(map(len, list_parts(parts)))}


@pytest.mark.parametrize(("test", "valid"), [(0.2, 0.25), (0.15, 0.3)])
def test_a_split_by_group_keeps_the_shares_of_classes(tmp_path: Path, test: float, valid: float) -> None:
    """Of 40 uneven groups a few have most of the positives; a plain draw misses the share by a tenth on average."""
    draw = np.random.default_rng(0)
    group = np.repeat(np.arange(40), draw.geometric(1 / 30, 40))
    sick = draw.random(len(group)) < np.where(group % 7 == 0, 0.5, 0.02)
    frame = pd.DataFrame({"x": draw.normal(size=len(group)), "g": group, "y": sick})
    table = write_table(tmp_path, frame, group="g")
    for seed in range(10):
        parts = split(table, split_seed=seed, test_size=test, valid_size=valid)
        for part, size in ((parts.test, test), (parts.valid, valid)):
            assert part.target.sum() / sick.sum() == pytest.approx(size, abs=0.05)
            assert len(part) / len(group) == pytest.approx(size, abs=0.08)


def learn_noise(tmp_path: Path, **options: Any) -> tuple[Split, float]:
    """Return the split of five copies of pure noise, and the R² of a model on its test part."""
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 3)), columns=["a", "b", "y"])
    table = write_table(tmp_path, pd.concat([noise] * 5).sample(frac=1, random_state=0))
    parts = split(table, **options)
    fit = fit_booster(parts, profile_columns(parts), make_settings(num_boost_round=200))
    return parts, evaluate_test(fit.predictor, parts).scores["r2"]


def test_equal_rows_are_in_one_part_and_counted(tmp_path: Path) -> None:
    parts, r2 = learn_noise(tmp_path)
    hashes = [set(part.table.content.rows[part.rows]) for part in list_parts(parts)]
    assert not hashes[0] & hashes[1] | hashes[0] & hashes[2] | hashes[1] & hashes[2]
    assert [len(part) for part in list_parts(parts)] == [275, 125, 100]
    assert r2 < 0.2
    assert parts.findings == (
        "400 of 500 rows repeat an earlier row in target and features. Equal rows are in one part. "
        "If they are different cases, set duplicates to apart.",
    )


def test_equal_rows_are_apart_and_counted_if_requested(tmp_path: Path) -> None:
    parts, r2 = learn_noise(tmp_path, duplicates="apart")
    assert r2 > 0.9
    (finding,) = parts.findings
    assert "100 of 100 test rows equal a row of training or validation. Set duplicates to together" in finding


def test_equal_rows_of_coarse_columns_are_different_cases(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.integers(0, 2, 1000), "b": draw.integers(0, 2, 1000), "y": draw.choice(["no", "yes"], 1000)})
    parts = split(write_table(tmp_path, frame))
    assert [len(part) for part in list_parts(parts)] == [550, 250, 200]
    assert "200 of 200 test rows equal a row of training or validation. Rows repeat so often that" in parts.findings[0]


def test_copies_do_not_change_how_the_other_rows_are_split(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(100.0), "y": np.arange(100.0)})
    plain = split(write_table(tmp_path, frame))
    assert not plain.findings
    copied = split(write_table(tmp_path, pd.concat([frame, frame.tail(3)])))
    assert (copied.test.rows[copied.test.rows < 100] == plain.test.rows).all()


@pytest.mark.parametrize(
    ("frame", "roles", "message"),
    [
        ({"y": [0.5, 1.5] * 20, "w": [0.0] * 40}, {}, "All 24 sample weights of the training part are zero"),
        (
            {"y": [0.5] * 30 + [1.5] * 10, "w": [1.0] * 32 + [0.0] * 8},
            {"time": "when"},
            "All 8 sample weights of the test part are zero",
        ),
    ],
)
def test_refuses_a_part_whose_weights_are_all_zero(
    tmp_path: Path, frame: dict[str, list[object]], roles: dict[str, str], message: str
) -> None:
    table = write_table(tmp_path, pd.DataFrame({"when": range(40), "a": range(40), **frame}), sample_weight="w", **roles)
    with pytest.raises(DataError, match=message):
        split(table, valid_size=0.2, by_time="time" in roles)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (["a", "b"] * 16 + ["a"] * 8, "The test part has few rows of 2 of 2 classes (0 of 'b', 8 of 'a')"),
        ([*np.arange(32) / 2, *[0.5] * 8], "The test part has one value of 'y' only, 0.5, in 8 rows."),
    ],
)
def test_says_that_a_part_has_one_class_or_one_value(tmp_path: Path, target: list[object], words: str) -> None:
    table = write_table(tmp_path, pd.DataFrame({"when": range(40), "a": range(40), "y": target}), time="when")
    assert words in " ".join(split(table, by_time=True).findings)


def test_says_that_a_part_has_few_rows_of_a_class(tmp_path: Path) -> None:
    parts = split(make_classes(tmp_path, {"a": 400, "b": 400, "c": 40}))
    assert parts.findings == ("The test part has few rows of 1 of 3 classes (8 of 'c'): its figures for them are uncertain.",)


def test_refuses_a_part_of_one_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"The test part of 't.parquet' would have 1 of 20 rows, and needs at least 2"):
        split(write_table(tmp_path, pd.DataFrame({"a": range(20), "y": np.arange(20) / 2})), test_size=0.05)


def test_says_which_rows_no_part_has_if_a_part_is_too_small(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": range(40), "shop": [1, 2] * 20, "a": range(40), "y": np.arange(40) / 2})
    words = (
        r"training part of .* 0 of 8 rows.*Rows that no part has: 32 of groups that continue in a later part\. Change what leaves"
    )
    with pytest.raises(DataError, match=words):
        split(write_table(tmp_path, frame, time="when", group="shop"), by_time=True)


def make_homes(rows: int, *, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"area": draw.integers(50, 250, rows), "city": draw.choice(["Faro", "Porto"], rows), "who": draw.integers(0, 30, rows)}
    )
    return frame.assign(weight=1.0, y=frame.area * 3.5 + (frame.city == "Faro") + draw.normal(size=rows) * 20)


def split_homes(tmp_path: Path, train: pd.DataFrame, test: pd.DataFrame, *, ending: str = ".csv", **options: Any) -> Split:
    """Return the split of a table in Parquet with the test rows of another table."""
    path = tmp_path / f"test{ending}"
    test.to_csv(path, index=False) if ending == ".csv" else test.to_parquet(path, index=False)
    return split(write_table(tmp_path, train, test_dataset=str(path), **options))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_test_part_is_the_rows_of_another_table(tmp_path: Path, ending: str) -> None:
    """It has fractions where the training table has whole numbers, a gap, a new category, and another order of columns."""
    train, test = make_homes(200, seed=0), make_homes(50, seed=1)
    test = test.assign(area=test.area + 0.5, city=test.city.replace("Porto", "Braga"))[[*test.columns[::-1]]]
    test.loc[3, "area"] = np.nan
    parts = split_homes(tmp_path, train, test, ending=ending, sample_weight="weight", drop=["who"])

    assert [len(part) for part in list_parts(parts)] == [150, 50, 50]
    assert parts.test.target.tolist() == test.y.tolist()
    (rows,) = parts.test.batches(["area", "city"])
    pd.testing.assert_frame_equal(rows.astype({"city": object}), test[["area", "city"]].astype({"city": object}))
    assert sorted(np.concatenate([parts.train.rows, parts.valid.rows])) == list(range(200))
    columns = profile_columns(parts)
    assert next(feature for feature in columns.features if feature.name == "city").categories == ("Faro", "Porto")
    fit = fit_booster(parts, columns, make_settings(num_boost_round=100))
    assert evaluate_test(fit.predictor, parts).scores["r2"] > 0.9


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_test_table_keeps_the_order_of_the_training_tables_category(tmp_path: Path, ending: str) -> None:
    train, test = make_homes(200, seed=0), make_homes(50, seed=1)
    train["city"] = pd.Categorical(train.city, ["Porto", "Faro"], ordered=True)
    test["city"] = pd.Categorical(test.city, ["Braga", "Faro", "Porto"], ordered=True)
    parts = split_homes(tmp_path, train, test.assign(area=test.area + 0.5), ending=ending)
    (city,) = (feature for feature in profile_columns(parts).features if feature.name == "city")
    assert (city.categories, city.ordered) == (("Porto", "Faro"), True)
    (rows,) = parts.test.batches(["area", "city"])
    assert (rows.city.tolist(), rows.area.tolist()) == (test.city.tolist(), (test.area + 0.5).tolist())


def test_a_test_table_of_other_types_is_refused(tmp_path: Path) -> None:
    train, test = make_homes(50, seed=0), make_homes(20, seed=1)
    train["who"] = np.where(train.who > 9, 2**64 - 1, 1).astype("uint64")
    with pytest.raises(DataError, match=r"test\.parquet does not fit .*State column_types"):
        split_homes(tmp_path, train, test.assign(who=-1), ending=".parquet")


def test_rows_that_are_in_the_test_table_are_not_learned_from(tmp_path: Path) -> None:
    train = make_homes(200, seed=0)
    parts = split_homes(tmp_path, train, train.tail(20))
    assert parts.left_out == {"equal to a test row": 20}
    assert max(*parts.train.rows, *parts.valid.rows) < 180
    apart = split(write_table(tmp_path, train, test_dataset=str(tmp_path / "test.csv")), duplicates="apart")
    assert not apart.left_out
    assert "20 of 20 test rows equal a row of training or validation" in apart.findings[0]


def test_groups_of_the_test_table_are_not_learned_from(tmp_path: Path) -> None:
    parts = split_homes(tmp_path, make_homes(200, seed=0), make_homes(5, seed=1), group="who")
    groups = [set(column(part.table, "who")[part.rows]) for part in list_parts(parts)]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert parts.left_out["of groups in the test part"] == 200 - len(parts.train) - len(parts.valid) > 0


def test_a_test_table_has_a_validation_part_of_the_latest_times(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=250)).dt.strftime("%d/%m/%Y")
    train, test = make_homes(200, seed=0).assign(when=days[:200]), make_homes(50, seed=1).assign(when=days[200:].to_numpy())
    test.to_csv(tmp_path / "test.csv", index=False)
    table = write_table(tmp_path, train, test_dataset=str(tmp_path / "test.csv"), time="when")
    parts = split(table, by_time=True)
    assert [(part.rows[0], part.rows[-1]) for part in list_parts(parts)] == [(0, 149), (150, 199), (200, 249)]
    assert parts.times[2] == "2024-07-19 to 2024-09-06"


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_dates_of_a_test_table_have_the_format_of_the_training_table(tmp_path: Path, ending: str) -> None:
    """The days 1 to 5 of May alone could be months too; the training table has days after the 12th."""
    days = pd.Series(pd.date_range("2024-01-01", periods=126)).dt.strftime("%d/%m/%Y")
    train, test = make_homes(121, seed=0).assign(when=days[:121]), make_homes(5, seed=1).assign(when=days[121:].to_numpy())
    table = split_homes(tmp_path, train, test, ending=ending, column_types={"when": "date"}).test.table
    assert [str(day) for day in table.take(["when"], np.arange(124, 126)).column("when").to_pylist()] == [
        "2024-05-04 00:00:00",
        "2024-05-05 00:00:00",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": "large"}, "The column 'area' is not of the type number: 'large' in row 1"),
        ({"city": None}, "test.csv has no column 'city'"),
        ({"y": np.nan}, "The target 'y' of .*test.csv is missing in all 50 rows"),
    ],
)
def test_refuses_a_test_table_that_does_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    test = make_homes(50, seed=1).assign(**change)
    with pytest.raises(DataError, match=message):
        split_homes(
            tmp_path, make_homes(200, seed=0), test.drop(columns=[name for name, value in change.items() if value is None])
        )


def test_refuses_a_test_table_with_a_class_of_its_own(tmp_path: Path) -> None:
    train, test = (make_homes(rows, seed=rows).assign(y="yes") for rows in (200, 50))
    train.loc[:99, "y"], test.loc[0, "y"] = "no", "perhaps"
    with pytest.raises(DataError, match="The class 'perhaps' of 'y' has 1 row"):
        split_homes(tmp_path, train, test)
