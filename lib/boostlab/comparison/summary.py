"""The result of a comparison in sentences, metrics and tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boostlab.comparison.paired import Difference, compare_pair, pair_runs
from boostlab.comparison.selection import Selection
from boostlab.display.markdown import format_code, format_link, format_table
from boostlab.errors import LabError
from boostlab.tracking.facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MORE = '`make train ARGS="-p eta 0.3"`'
NO_RUNS = f"No finished run matches, so there is nothing to compare. Train two first: `make train` and {MORE}."


@dataclass(frozen=True)
class PairSummary:
    """How the challenger does against the champion on the same test rows.

    Attributes
    ----------
    runs : sequence of mlflow.entities.Run
        Champion and challenger; empty if there are fewer than two runs.
    difference : Difference, optional
    reason : str
        Why there is no difference.
    """

    runs: Sequence[Run] = ()
    difference: Difference | None = None
    reason: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Which two runs were compared, as tags of the comparison's run."""
        return dict(zip(("boostlab.champion", "boostlab.challenger"), (run.info.run_id for run in self.runs), strict=False))

    @property
    def metrics(self) -> dict[str, float]:
        """The difference and its interval, as metrics of the comparison's run."""
        if self.difference is None:
            return {}
        return {"difference": self.difference.value, "low": self.difference.low, "high": self.difference.high}

    def describe(self) -> str:
        """Return the difference as a sentence in Markdown, or the reason why there is none."""
        if self.difference is None:
            return self.reason
        champion, challenger = (format_code(run.info.run_name) for run in self.runs)
        return self.difference.describe(f"the champion {champion}", f"the challenger {challenger}")


def summarize_pair(client: MlflowClient, pair: Sequence[Run], *, metric: str) -> PairSummary:
    """Compare the second of two runs with the first on the same test rows."""
    if len(pair) < 2:
        return PairSummary(reason="A comparison on the same rows takes two runs.")
    champion, challenger = (run.info.run_id for run in pair)
    try:
        return PairSummary(pair, compare_pair(pair_runs(client, champion=champion, challenger=challenger), metric=metric))
    except LabError as error:
        return PairSummary(pair, reason=str(error))


def describe_selection(selection: Selection) -> str:
    """Return in Markdown which runs are compared, by which metric, and which are left out."""
    if not selection.runs:
        return NO_RUNS
    count = len(selection.runs)
    side = "higher" if selection.higher_is_better else "lower"
    runs = f"{count} run{'s' if count > 1 else ''} on {format_code(str(selection.dataset))}"
    said = f"{runs}, by {format_code(selection.metric)}: {side} is better."
    if selection.has_more:
        said = f"The best {said} There may be more: raise `how_many` to see them."
    if selection.lacking:
        said += f" Left out, because they do not have that metric: {', '.join(map(format_code, selection.lacking))}."
    if selection.others:
        said += " Runs on other data are listed apart: their metrics cannot be ranked with these."
    return said if count > 1 else f"{said} A comparison takes two runs: train another one, as {MORE}."


def describe_result(
    selection: Selection, pair: PairSummary, *, facts: RunFacts, register_as: str = "", version: int | None = None
) -> str:
    """Return the result in Markdown: one table and one sentence.

    Parameters
    ----------
    facts : RunFacts
        Facts of the comparison's own run.
    version : int, optional
        The version as which the best run's model was registered.
    """
    if not selection.runs:
        return NO_RUNS
    best = selection.runs[0]
    page = facts.ui.run_url(best.info.experiment_id, best.info.run_id)
    rows = {
        "data": format_code(str(selection.dataset)),
        "runs compared": str(len(selection.runs)),
        "best run": f"{format_link(best.info.run_name, page)} ({format_code(best.info.run_id)})",
        selection.metric: f"{selection.values[0]:.5g}",
    }
    if version:
        rows["registered as"] = format_link(f"{register_as} version {version}", facts.ui.version_url(register_as, version))
    rows["this comparison"] = format_link(facts.run_name, facts.run_url)
    if facts.ui.command:
        rows["links"] = f"work while this runs: {format_code(facts.ui.command)}"
    return f"{format_table(rows)}\n\n{pair.describe()}"
