"""The model card as a document: Markdown for the registry and for texts, HTML with figures for readers.

:mod:`boostlab.card.sections` says what a card holds.
"""

from __future__ import annotations

import base64
import json
import platform
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from boostlab.card.section import Section
from boostlab.card.sections import SECTIONS
from boostlab.comparison.standing import describe_standing
from boostlab.display.html import render_html
from boostlab.display.markdown import escape
from boostlab.errors import show_controls
from boostlab.models.registration import CARD_PATH
from boostlab.tracking.evidence import Evidence
from boostlab.tracking.facts import CARD_TAG, ENVIRONMENT_TAG

if TYPE_CHECKING:
    from boostlab.evaluation.metrics import Evaluation
    from boostlab.tracking.run import Run

HTML_PATH = "model_card.html"
PACKAGES = ("boostlab", "xgboost", "numpy", "pandas")


@dataclass(frozen=True)
class Card:
    """A model card: a title and sections. Equal evidence makes equal cards, in the run's notebook and from the store."""

    title: str
    sections: tuple[Section, ...]
    standing: str = field(default="", compare=False)  #: in Markdown, how the run stands among others; empty if read from a store

    @property
    def gaps(self) -> list[str]:
        """What the card lacks, a sentence each, with what to do."""
        return [section.lacks for section in self.sections if section.lacks]

    def describe(self) -> str:
        """Return in Markdown whether the card is complete, and what it lacks."""
        if not self.gaps:
            return "The model card is complete."
        return "\n".join(["The model card lacks:\n", *(f"- {escape(gap)}" for gap in self.gaps)])

    def to_markdown(self) -> str:
        """Return the card in Markdown, without its figures."""
        parts = [f"# {escape(self.title)}", *(section.to_markdown() for section in self.sections)]
        return show_controls("\n\n".join(parts)) + "\n"

    def to_html(self, evidence: Evidence) -> str:
        """Return the card as a page that needs no other file, with the figures that the evidence holds."""
        names = [name for section in self.sections for name in section.figures]
        content = {name: evidence.read(name) for name in names}
        figures = {name: base64.b64encode(png).decode() for name, png in content.items() if png}
        return show_controls(render_html("card.html.j2", card=self, figures=figures))


def make_card(evidence: Evidence) -> Card:
    """Return the card of the model that a run has made, from what the run has recorded."""
    name = evidence.params.get("register_as") or evidence.run_name
    found = (make(evidence) for make in SECTIONS)
    return Card(f"Model card: {name}", tuple(section for section in found if section))


def log_card(run: Run, evaluation: Evaluation, *, register_as: str = "") -> Card:
    """Record how a run stands among others, then its model card from what it has recorded so far, and return the card.

    The card becomes the artifacts ``model_card.md`` and ``model_card.html``. A version that is registered from the run gets it as
    its description.
    """
    standing = describe_standing(run, evaluation, register_as=register_as)
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    environment = {"date": date, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    run.log_tags({ENVIRONMENT_TAG: json.dumps(environment)})
    evidence = run.read_evidence()
    card = replace(make_card(evidence), standing=standing)
    run.log_text(card.to_markdown(), CARD_PATH)
    run.log_text(card.to_html(evidence), HTML_PATH)
    run.log_tags({CARD_TAG: HTML_PATH})
    return card
