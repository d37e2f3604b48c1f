"""The server's settings: each has a variable, a meaning and a range."""

from __future__ import annotations

from dataclasses import fields

import pytest

from boostlab.serving.settings import ServerSettings, ServingError, read_settings, tabulate_settings


def test_each_setting_has_a_variable_and_a_meaning() -> None:
    table = {variable: (default, meaning) for variable, default, meaning in tabulate_settings()}

    assert table.keys() == {f"BOOSTLAB_{item.name.upper()}" for item in fields(ServerSettings)}
    assert all(meaning for _, meaning in table.values())
    assert read_settings({variable: default for variable, (default, _) in table.items()}) == ServerSettings()
    assert read_settings({}) == read_settings({"BOOSTLAB_PORT": ""}) == ServerSettings()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("WORKERS", "many", "BOOSTLAB_WORKERS='many' is not a whole number: worker processes"),
        ("DRAIN_S", "long", "BOOSTLAB_DRAIN_S='long' is not a number"),
        ("PORT", "70000", "BOOSTLAB_PORT=70000 is out of range: .*, from 0 to 65535"),
        ("MAX_BODY_MB", "0", "BOOSTLAB_MAX_BODY_MB=0 is out of range"),
        ("MAX_BODY_MB", "nan", "BOOSTLAB_MAX_BODY_MB=nan is out of range"),
    ],
)
def test_refuses_a_value_outside_the_range(name: str, text: str, message: str) -> None:
    with pytest.raises(ServingError, match=message):
        read_settings({f"BOOSTLAB_{name}": text})
