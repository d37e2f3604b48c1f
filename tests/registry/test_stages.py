from __future__ import annotations

import pytest

from boostlab.registry.stages import read_stage


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
