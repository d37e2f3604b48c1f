"""Stages: their names, as people write them and as aliases on a registered model."""

from __future__ import annotations

import unicodedata
from typing import Literal, get_args

from boostlab.errors import suggest

Stage = Literal["none", "test", "staging", "production", "archived"]
NONE: Stage = "none"  # registered, and nowhere yet
ARCHIVED: Stage = "archived"  # it left: no alias, known by its last transition
ALIASES: tuple[Stage, ...] = ("test", "staging", "production")  # from the least to the most advanced
TARGETS: tuple[Stage, ...] = (*ALIASES, ARCHIVED)
STAGES: tuple[Stage, ...] = get_args(Stage)
NEXT: dict[Stage, Stage] = {  # where a version usually goes
    "none": "staging",
    "test": "staging",
    "staging": "production",
    "production": "archived",
    "archived": "staging",
}
OTHER_WORDS: dict[str, Stage] = {"teste": "test", "producao": "production"}


def read_stage(text: str) -> Stage:
    """Return the stage that a text names, in any case, with or without accents; ``teste`` and ``produção`` too.

    Raises
    ------
    ValueError
        If it names none that a version can be moved to.

    Examples
    --------
    >>> [read_stage(text) for text in ("Produção", "PRODUCAO", " teste", "Staging")]
    ['production', 'production', 'test', 'staging']
    """
    plain = unicodedata.normalize("NFKD", text.strip().casefold()).encode("ascii", "ignore").decode()
    for stage in TARGETS:
        if OTHER_WORDS.get(plain, plain) == stage:
            return stage
    raise ValueError(
        f"no stage.{suggest(plain, (*TARGETS, *OTHER_WORDS))} It takes: test (or teste), staging, production (or produção), "
        "archived."
    )
