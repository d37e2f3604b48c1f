"""The schema of a value and the conversion of a value say the same: what is described is accepted, and the other way round."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from boostlab.models.contract import EPOCH_UNITS, Feature
from boostlab.models.conversion_table import FEATURES, JSON_VALUES, convert_one
from boostlab.serving.value_schemas import describe_value

DATE = FEATURES[5]
FORMATS = ("%d/%m/%Y", "%b %d, %Y", "%d %B %Y %H:%M:%S", "%m/%d/%y %I:%M %p", "%d.%m.%y", *EPOCH_UNITS)
ALL = [*FEATURES[:-1], *(replace(DATE, name=f"date as {form}", format=form) for form in FORMATS)]
ALL += [replace(FEATURES[3], name="category of booleans", categories=("True", "x"))]
MORE = [
    *(3.4e38, -3.4e38, 3.5e38, 2**64, -(2**63), "3.4e37", "1e38", "9" * 38, "-.5", "5.", "+7", "1e-400", "0x1", "1e400", "١"),
    *("2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2024-2-9", "2024/12/31", "2024.04.31", "2024-02", "2024", "NaT"),
    *("2024-02-29T23:59:59.999999999Z", "2024-02-29 23", "2024-02-29T2359+0130", "2024-02-29T24:00", "2024-02-29Z", "20240229"),
    *(
        "0001-01-01",
        "0000-01-01",
        "29/02/2024",
        "29/02/2023",
        "31/04/2024",
        "Feb 29, 2024",
        "Feb 29, 2023",
        "29.02.00",
        "29.02.01",
    ),
    *(
        "02/29/24 11:59 PM",
        "02/29/24 13:00 PM",
        "29 February 2024 12:00:00",
        "TRUE",
        "1.000",
        "  0",
        "yes",
        "\n",
        "t",
        "1e0",
        True,
    ),
]


@pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)
def test_each_value_of_the_table_is_described_if_it_is_accepted_and_only_then(feature: Feature) -> None:
    validator = Draft202012Validator(describe_value(feature))
    values = [value for value in [*JSON_VALUES, *MORE] if not (isinstance(value, float) and not math.isfinite(value))]
    apart = [value for value in values if validator.is_valid(value) != (convert_one([value], feature) != "refused")]

    assert apart == (["1e-400", "1e0"] if feature.type == "boolean" else [])


def test_a_date_as_a_whole_number_is_described_by_its_range() -> None:
    validator = Draft202012Validator(describe_value(FEATURES[-1]))

    assert validator.is_valid(20240229) and validator.is_valid("20240229") and not validator.is_valid("20230229")
    assert validator.is_valid(20230229)  # no schema tells which numbers are dates


def draw_described(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for what a schema of this module's form describes."""
    low, high = schema.get("minimum"), schema.get("maximum", schema.get("exclusiveMaximum"))
    typed: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "boolean": st.booleans(),
        "string": st.from_regex(schema["pattern"]) if "pattern" in schema else st.text(),
        "number": st.floats(low, high, exclude_max="exclusiveMaximum" in schema, allow_nan=False) | st.integers(-9, 9),
    }
    if "anyOf" in schema:
        return st.one_of([draw_described(each) for each in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([typed[name] for name in types])


@pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_each_described_value_is_accepted(feature: Feature, data: st.DataObject) -> None:
    value = data.draw(draw_described(describe_value(feature)))

    assert convert_one([value], feature) != "refused"
