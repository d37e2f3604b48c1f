"""How a new run stands among the finished runs on its rows, and against the version in production."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from boostlab.comparison.candidates import MOST_COUNTED, Choice
from boostlab.comparison.paired import compare_pair
from boostlab.comparison.rows import check_same_target, pair_rows
from boostlab.comparison.selection import BEST_VALID
from boostlab.display.markdown import escape, format_link
from boostlab.display.numbers import format_number
from boostlab.errors import LabError
from boostlab.evaluation.holdout import HOLDOUT_PATH, make_holdout, read_holdout, to_holdout
from boostlab.evaluation.metric_names import is_higher_better, strip_part
from boostlab.evaluation.metrics import Evaluation
from boostlab.notebook.session import is_trial
from boostlab.tracking.facts import SPLIT_TAG
from boostlab.tracking.rivals import MOST_RIVALS
from boostlab.tracking.run import Run
from boostlab.tracking.ui import MlflowUI

STANDING_PATH = "evaluation/standing.txt"
OF_A_TRIAL = "This run is a trial of a sweep, which ranks its trials."
Say = Callable[[str], str]
Name = Callable[[dict[str, Any]], str]


def describe_standing(run: Run, evaluation: Evaluation, *, register_as: str = "") -> str:
    """Return in Markdown a run's rank by its validation metric, and its difference to the best other run on the test rows.

    With `register_as`, the difference to the version of this registered model in production is added. The same is recorded as
    the text ``evaluation/standing.txt``. The run must have recorded its metrics and its holdout. The interval allows for a choice
    among the runs with its metric. A trial of a sweep is not ranked here, and records nothing.
    """
    if is_trial():  # each of hundreds would sort all runs of the store
        return OF_A_TRIAL
    is_higher = is_higher_better(evaluation.contract.metric)
    found = run.find_rivals(tag=SPLIT_TAG, prefix=BEST_VALID, is_higher=is_higher, file=HOLDOUT_PATH, model=register_as)
    run.log_text("\n\n".join(describe_rivals(found, evaluation)), STANDING_PATH)
    return " ".join(describe_rivals(found, evaluation, run.facts.ui))


def describe_rivals(found: dict[str, Any], evaluation: Evaluation, ui: MlflowUI | None = None) -> list[str]:
    """Return in words what :func:`boostlab.tracking.rivals.find_rivals` found, a paragraph on each other model.

    Parameters
    ----------
    ui : MlflowUI, optional
        The UI to link to, for Markdown; without it, the text is plain.
    """
    name, say = (partial(_link, ui=ui), escape) if ui else (_name, str)
    if not found:
        return ["The store could not tell how the run stands among others."]
    choice = Choice(found["metric"], found["better"] + 1, MOST_COUNTED if found["others"] == MOST_RIVALS else found["others"] + 1)
    texts = [_describe_rank(found, evaluation, choice, name, say)]
    if champion := found.get("champion"):
        version = f"Version {champion['version']}, {name(champion)}, is in production."
        if not champion["is_on_rows"]:
            texts.append(f"{version} Other rows have judged it: the gate compares both on rows that neither has learned from.")
        else:
            texts.append(f"{version} {_compare(champion, evaluation, choice, 'the version in production', say)}")
    return texts


def _describe_rank(found: dict[str, Any], evaluation: Evaluation, choice: Choice, name: Name, say: Say) -> str:
    if not found["others"]:
        return "It is the first finished run on this split: there is nothing yet to compare it with."
    best, metric = found["best"], f"valid {say(strip_part(found['metric']))}"
    value, other = format_number(found["value"]), f"is {name(best)} with {format_number(best['value'])}."
    if found["better"] == MOST_RIVALS:  # the rank is not known, and so not how wide the interval must be
        return f"It is not among the best {MOST_RIVALS} runs on this split by {metric}: {value}. The best {other}"
    rank, count, is_cut = found["better"] + 1, found["others"] + 1, found["others"] == MOST_RIVALS
    standing = f"Number {rank} of {'at least ' if is_cut else ''}{count} runs on this split by {metric}: {value}."
    return f"{standing} The {'best' if rank > 1 else 'next'} {other} {_compare(best, evaluation, choice, 'that run', say)}"


def _compare(other: dict[str, Any], evaluation: Evaluation, choice: Choice, what: str, say: Say) -> str:
    """Return the difference to the other run's model in words, or why there is none."""
    if not other["file"]:
        return "That run kept no test rows, or they cannot be read: the models were not compared on them."
    try:
        old, new = read_holdout(Path(other["file"])), to_holdout(make_holdout(evaluation))
        check_same_target(old, new)
        difference = compare_pair(pair_rows(old, new), metric=evaluation.contract.metric, alpha=choice.alpha)
    except (LabError, OSError, ValueError, KeyError) as error:
        return f"Their test rows cannot be compared: {say(str(error))}"
    kept = "" if old.is_of_model else f" The answers of {what} are from its training: it keeps another, final model."
    return say(difference.describe(what, "this run") + kept)


def _name(other: dict[str, Any]) -> str:
    return str(other["name"])


def _link(other: dict[str, Any], ui: MlflowUI) -> str:
    return format_link(other["name"], ui.run_url(other["experiment_id"], other["run_id"]))
