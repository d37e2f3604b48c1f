"""The parameters of ``registry.ipynb``, checked as the engine checks them before the notebook starts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.registry import registry_settings

from boostlab.errors import ParameterError
from boostlab.registry.settings import read_stage


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "m", "version": 1, "stage": "prodution"}, "stage = 'prodution': no stage. Did you mean 'production'?"),
        ({"model": "m", "version": 1, "stage": "Prod"}, "stage = 'Prod': no stage. Did you mean 'production'?"),
        ({"model": "m", "version": 1}, "version and stage go together"),
        ({"action": "rollback"}, "action rollback lacks model. Add -p model …."),
        ({"action": "promote", "model": "m"}, "action promote lacks version and stage. Add -p version … -p stage …."),
        ({"action": "register", "model": "m"}, "action register lacks run_id. Add -p run_id …."),
        ({"model": "m", "version": 1, "stage": "test", "override": True}, "override = True needs a reason"),
        ({"model": "a/b"}, "model = 'a/b' does not fit. It takes a name without / and :."),
        ({"expected_state": "what"}, "expected_state = 'what' does not fit. It takes a state such as 5:staging production:3."),
        ({"action": "promot"}, "action has no choice 'promot'. Did you mean 'promote'?"),
    ],
)
def test_refuses_an_incomplete_or_faulty_request(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as refusal:
        registry_settings(**values)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "requested", "transition"),
    [
        ({}, "show", None),
        ({"model": "m"}, "show", None),
        ({"model": "m", "version": 1, "stage": "Teste"}, "promote", "promote"),
        ({"model": "m", "version": 1, "stage": "archived"}, "archive", "archive"),
        ({"action": "promote", "model": "m", "version": 1, "stage": "archived"}, "archive", "archive"),
        ({"model": "m", "run_id": "abc"}, "register", None),
        ({"model": "m", "run_id": "abc", "stage": "staging"}, "register", "promote"),
        ({"model": "m", "run_id": "abc", "stage": "archived"}, "register", "archive"),
        ({"action": "rollback", "model": "m"}, "rollback", "rollback"),
    ],
)
def test_the_parameters_imply_the_action_and_the_transition(values: dict[str, Any], requested: str, transition: str) -> None:
    settings = registry_settings(**values)
    assert (settings.requested, settings.transition) == (requested, transition)


@pytest.mark.parametrize(
    ("text", "stage"),
    [("teste", "test"), ("TESTE", "test"), ("produção", "production"), ("Producao", "production"), ("PRODUÇÃO", "production"),
     ("produc\u0327a\u0303o", "production"), (" staging ", "staging"), ("Archived", "archived")],
)  # fmt: skip
def test_reads_a_stage_in_english_and_portuguese(text: str, stage: str) -> None:
    assert read_stage(text) == stage


@pytest.mark.parametrize(("text", "nearest"), [("prodution", "production"), ("stagin", "staging"), ("none", ""), ("", "")])
def test_refuses_an_unknown_stage_and_names_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"no stage.*{nearest}.*It takes: test"):
        read_stage(text)
