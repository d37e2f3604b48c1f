"""What a comparison found: one of two models against the other, in figures and in plain words, and the winner registered.

Names from the store stand in the words as code, so that none of them is ever markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from boostlab.comparison.paired import Difference, compare_pair, pair_runs
from boostlab.comparison.selection import Selection
from boostlab.comparison.tables import list_values
from boostlab.display.markdown import format_code, format_link, format_table
from boostlab.errors import LabError
from boostlab.models.registration import register_run
from boostlab.tracking.facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MORE = '`make train ARGS="-p eta 0.3"`'
NOTHING = f"There is no finished run that matches, and so nothing to compare. Train two first, as `make train` and {MORE}."


def describe_selection(selection: Selection) -> str:
    """Return in Markdown what is compared, and what is not."""
    if not selection.runs:
        return NOTHING
    count = len(selection.runs)
    side = "higher" if selection.higher_is_better else "lower"
    which = f"{count} run{'s' if count > 1 else ''} on {format_code(str(selection.data))}"
    said = f"{which}, by {format_code(selection.metric)}: {side} is better."
    if selection.has_more:
        said = f"The best {said} There may be more: raise `how_many` to see them."
    if selection.lacking:
        said += f" Left out, as they do not have that metric: {', '.join(map(format_code, selection.lacking))}."
    if selection.others:
        said += " Runs on other data are told apart below: their figures cannot be ranked with these."
    return said if count > 1 else f"{said} A comparison takes two: train another, as {MORE}."


def compare_models(client: MlflowClient, pair: Sequence[Run], *, metric: str) -> Difference | str:
    """Return how the second of two runs does against the first on the same test rows, or why that cannot be told."""
    if len(pair) < 2:
        return "There are no two runs to set against one another."
    champion, challenger = (run.info.run_id for run in pair)
    try:
        return compare_pair(pair_runs(client, champion=champion, challenger=challenger), metric=metric)
    except LabError as error:
        return str(error)


def describe_difference(difference: Difference | str, pair: Sequence[Run]) -> str:
    """Return a comparison of two models as a sentence in Markdown."""
    if isinstance(difference, str):
        return difference
    champion, challenger = (format_code(run.info.run_name) for run in pair)
    return difference.describe(f"the champion {champion}", f"The challenger {challenger}")


def list_findings(selection: Selection, difference: Difference | str) -> dict[str, float]:
    """Return what a comparison found, as metrics of its own run."""
    found = {"runs_compared": float(len(selection.runs))}
    found |= {f"best_{selection.metric}": list_values(selection)[0]} if selection.runs else {}
    if isinstance(difference, str):
        return found
    return found | {"difference": difference.challenger - difference.champion, "low": difference.low, "high": difference.high}


def tag_pair(pair: Sequence[Run]) -> dict[str, str]:
    """Return which two runs were set against one another, as tags of the comparison's run."""
    return dict(zip(("boostlab.champion", "boostlab.challenger"), (run.info.run_id for run in pair), strict=False))


def register_best(client: MlflowClient, selection: Selection, register_as: str) -> int | None:
    """Register the best run's model if a name is given, and return its version.

    Raises
    ------
    LabError
        If there is no run, or the best one logged no model.
    """
    if not register_as:
        return None
    if not selection.runs:
        raise LabError(f"register_as = {register_as!r}: there is no run whose model could be registered. Train one first.")
    return register_run(client, selection.runs[0].info.run_id, register_as)


def describe_result(
    selection: Selection, finding: str, *, facts: RunFacts, register_as: str = "", version: int | None = None
) -> str:
    """Return in Markdown the result: one table and one sentence.

    Parameters
    ----------
    finding : str
        How one of two runs does against the other.
    facts : RunFacts
        Those of the comparison's own run.
    version : int, optional
        What the best run's model was registered as.
    """
    if not selection.runs:
        return NOTHING
    winner = selection.runs[0]
    page = facts.ui.run_url(winner.info.experiment_id, winner.info.run_id)
    rows = {
        "data": format_code(str(selection.data)),
        "runs compared": str(len(selection.runs)),
        "best run": f"{format_link(winner.info.run_name, page)} ({format_code(winner.info.run_id)})",
        selection.metric: f"{winner.data.metrics[selection.metric]:.5g}",
    }
    if version:
        rows["registered as"] = format_link(f"{register_as} version {version}", facts.ui.version_url(register_as, version))
    rows["this comparison"] = format_link(facts.run_name, facts.run_url)
    if facts.ui.command:
        rows["links"] = f"work while this runs: {format_code(facts.ui.command)}"
    return f"{format_table(rows)}\n\n{finding}"
