"""Stages: their names, as users write them and as aliases on a registered model."""

from __future__ import annotations

import unicodedata
from typing import Literal, get_args

from boostlab.errors import suggest

Stage = Literal["none", "test", "staging", "production", "archived"]
NONE: Stage = "none"  # registered and not yet in a stage
ARCHIVED: Stage = "archived"  # has no alias: its last transition names this stage
ALIASES: tuple[Stage, ...] = ("test", "staging", "production")  # from the least to the most advanced
TARGETS: tuple[Stage, ...] = (*ALIASES, ARCHIVED)
STAGES: tuple[Stage, ...] = get_args(Stage)
NEXT: dict[Stage, Stage] = {  # the stage that usually follows
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
        If the text names no stage that a version can enter.

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
