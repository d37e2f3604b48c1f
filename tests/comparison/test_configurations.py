from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, record_run, scores

from boostlab.comparison.configurations import group_seeds, shorten_values
from boostlab.comparison.selection import select_runs


def test_groups_all_seeds_of_a_configuration(client: Any) -> None:
    for seed, value in enumerate((2.0, 5.0, 5.0)):
        record_run(client, f"lucky-{seed}", metrics=scores(value), eta=0.3, seed=seed)
        record_run(client, f"steady-{seed}", metrics=scores(3.0 + seed / 10), eta=0.1, seed=seed)

    groups = group_seeds(client, select_runs(client, compare_settings(how_many=2)))

    assert [(name, sorted(values)) for name, values in groups] == [
        ("eta 0.1", [3.0, 3.1, 3.2]),
        ("eta 0.3", [2.0, 5.0, 5.0]),
    ]


def test_groups_configurations_that_differ_in_quotation_marks(client_of_each_store: Any) -> None:
    texts = ["{}", "{'sampling_method': 'uniform'}", '{"sampling_method": "uniform"}']
    for place, text in enumerate(texts):
        for seed in range(2):
            record_run(client_of_each_store, f"{place}-{seed}", metrics=scores(1 + place), seed=seed, xgb_params=text)

    groups = group_seeds(client_of_each_store, select_runs(client_of_each_store, compare_settings()))

    assert [(name, len(values)) for name, values in groups] == [(f"xgb_params {text}", 2) for text in texts]


def test_configurations_that_differ_in_late_digits_or_at_the_end_of_a_text_stay_apart(client: Any) -> None:
    late, words = (0.06873160873590572, 0.06873160873599999), [f"{'long ' * 100}{end}" for end in "ab"]
    for number, (eta, note) in enumerate(zip(late, words, strict=True)):
        record_run(client, str(number), metrics=scores(1 + number), eta=eta, note=note)

    groups = group_seeds(client, select_runs(client, compare_settings()))

    shown = ("0.0687316087359", "0.068731608736")
    assert [name for name, _ in groups] == [f"eta {eta} · note {note}" for eta, note in zip(shown, words, strict=True)]


def test_equal_numbers_that_are_written_in_two_ways_are_two_configurations(client: Any) -> None:
    for number, (eta, depth) in enumerate((("0.10", "4"), ("0.1", "4.00000000001"), ("0.100", "4.0"))):
        record_run(client, str(number), metrics=scores(1 + number), eta=eta, max_depth=depth)

    groups = group_seeds(client, select_runs(client, compare_settings()))

    assert [values for _, values in groups] == [[1.0], [2.0], [3.0]]


def test_configurations_that_are_described_alike_stay_apart(client: Any) -> None:
    record_run(client, "a", metrics=scores(1), note="1 · other 2")
    record_run(client, "b", metrics=scores(2), note="1", other="2")

    groups = group_seeds(client, select_runs(client, compare_settings()))

    assert groups == [("note 1 · other 2", [1.0]), ("note 1 · other 2", [2.0])]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["0.1", "1e-1"], ["0.1", "1e-1"]),
        (["4", "4.00000000001"], ["4", "4.00000000001"]),
        ([None, "–"], ["(not set)", "–"]),
        (["0.12345678901", "7"], ["0.1235", "7"]),
    ],
)
def test_values_that_differ_are_shown_apart(texts: list[str | None], shown: list[str]) -> None:
    assert shorten_values(texts) == shown
