"""The ipywidgets face of a choice of runs: which to look at closely, and which two to set against one another.

What was chosen by parameters stands at first. Where nobody is there to choose it is shown as text, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from boostlab.comparison.selection import Selection
from boostlab.notebook.session import is_headless

if TYPE_CHECKING:
    from mlflow.entities import Run

SHOWN_ROWS = 8
HINT = "Choose, then run the cells below. Once the last one ended the run, run the whole notebook again: the choice stands."


class Picker:
    """A choice among the runs of a selection.

    Parameters
    ----------
    pair : sequence of Run
        Champion and challenger to begin with; empty where there are fewer than two runs.
    top : int
        How many of the best runs to look at closely to begin with.

    Notes
    -----
    A choice outlives its widget: where a notebook is run again with the same parameters, it is what the next one begins with.
    """

    last: ClassVar[Picker | None] = None

    def __init__(self, selection: Selection, *, pair: Sequence[Run], top: int) -> None:
        self._runs = {run.info.run_id: run for run in (*selection.runs, *pair)}
        self._labels = [(_label(run, selection.metric), run_id) for run_id, run in self._runs.items()]
        self._given = [run.info.run_id for run in selection.runs[:top]], [run.info.run_id for run in pair]
        self._closely, self._pair = self._given
        self._boxes: Any = None
        last, type(self).last = self.last, self
        if last is not None and last._given == self._given:
            chosen = [run.info.run_id for run in last.closely], [run.info.run_id for run in last.pair]
            if {*chosen[0], *chosen[1]} <= set(self._runs):
                self._closely, self._pair = chosen

    @property
    def closely(self) -> list[Run]:
        """The runs to look at closely."""
        chosen = self._boxes[0].value if self._boxes else self._closely
        return [self._runs[run_id] for run_id in chosen]

    @property
    def pair(self) -> list[Run]:
        """Champion and challenger; empty where there are fewer than two runs."""
        chosen = [box.value for box in self._boxes[1:]] if self._boxes else self._pair
        return [self._runs[run_id] for run_id in chosen]

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if is_headless() or not self._pair:  # an engine runs this notebook, or there is no choice
            display({"text/plain": self.describe()}, raw=True)
        else:
            display(self.make_widget())

    def describe(self) -> str:
        """Return the choice as text."""
        lines = [f"looked at closely: {', '.join(run.info.run_name for run in self.closely) or 'no run'}"]
        if self._pair:
            champion, challenger = (run.info.run_name for run in self.pair)
            lines.append(f"set against one another: champion {champion}, challenger {challenger}")
        return "\n".join(lines)

    def make_widget(self) -> Any:
        """Return the widget; what is chosen in it counts from then on."""
        import ipywidgets as widgets

        style, wide = {"description_width": "9em"}, widgets.Layout(width="42em")
        closely = widgets.SelectMultiple(
            options=self._labels,
            value=self._closely,
            rows=min(SHOWN_ROWS, len(self._labels)),
            description="look closely at",
            style=style,
            layout=wide,
        )
        champion, challenger = (
            widgets.Dropdown(options=self._labels, value=value, description=name, style=style, layout=wide)
            for name, value in zip(("champion", "challenger"), self._pair, strict=True)
        )
        self._boxes = [closely, champion, challenger]
        return widgets.VBox([*self._boxes, widgets.Label(HINT)])


def _label(run: Run, metric: str) -> str:
    value = run.data.metrics.get(metric)
    return f"{run.info.run_name} · {metric} {value:.5g}" if value is not None else str(run.info.run_name)
