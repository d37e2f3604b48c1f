"""A widget that chooses runs: those to inspect, and the champion and challenger to compare.

It starts with the choice of the parameters. Headless it shows this choice as text and never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from boostlab.comparison.selection import Selection
from boostlab.notebook.session import is_headless

if TYPE_CHECKING:
    from mlflow.entities import Run

SHOWN_ROWS = 8
HINT = "Choose, then run the cells below. After the last cell has ended the run, run the whole notebook again: the choice stays."


class RunPicker:
    """A choice among the runs of a selection.

    Parameters
    ----------
    pair : sequence of Run
        Champion and challenger of the initial choice; empty if there are fewer than two runs.
    top : int
        How many of the best runs the initial choice inspects.

    Notes
    -----
    A choice outlives its widget: if the notebook runs again with the same parameters, the next picker starts with it.
    """

    last: ClassVar[RunPicker | None] = None

    def __init__(self, selection: Selection, *, pair: Sequence[Run], top: int) -> None:
        self._runs = {run.info.run_id: run for run in (*selection.runs, *pair)}
        self._labels = [(_label(run, selection.metric), run_id) for run_id, run in self._runs.items()]
        self._initial = [run.info.run_id for run in selection.runs[:top]], [run.info.run_id for run in pair]
        self._inspected, self._pair = self._initial
        self._boxes: Any = None
        last, type(self).last = self.last, self
        if last is not None and last._initial == self._initial:
            chosen = [run.info.run_id for run in last.inspected], [run.info.run_id for run in last.pair]
            if {*chosen[0], *chosen[1]} <= set(self._runs):
                self._inspected, self._pair = chosen

    @property
    def inspected(self) -> list[Run]:
        """The runs to inspect."""
        chosen = self._boxes[0].value if self._boxes else self._inspected
        return [self._runs[run_id] for run_id in chosen]

    @property
    def pair(self) -> list[Run]:
        """Champion and challenger; empty if there are fewer than two runs."""
        chosen = [box.value for box in self._boxes[1:]] if self._boxes else self._pair
        return [self._runs[run_id] for run_id in chosen]

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if is_headless() or not self._pair:
            display({"text/plain": self.describe()}, raw=True)
        else:
            display(self.make_widget())

    def describe(self) -> str:
        """Return the choice as text."""
        lines = [f"inspect: {', '.join(run.info.run_name for run in self.inspected) or 'no run'}"]
        if self._pair:
            champion, challenger = (run.info.run_name for run in self.pair)
            lines.append(f"compare: champion {champion}, challenger {challenger}")
        return "\n".join(lines)

    def make_widget(self) -> Any:
        """Return the widget; from now on its state is the choice."""
        import ipywidgets as widgets

        shared = {"options": self._labels, "style": {"description_width": "9em"}, "layout": widgets.Layout(width="42em")}
        rows = min(SHOWN_ROWS, len(self._labels))
        inspected = widgets.SelectMultiple(value=self._inspected, rows=rows, description="inspect", **shared)
        pair = zip(("champion", "challenger"), self._pair, strict=True)
        self._boxes = [inspected, *(widgets.Dropdown(value=value, description=name, **shared) for name, value in pair)]
        return widgets.VBox([*self._boxes, widgets.Label(HINT)])


def _label(run: Run, metric: str) -> str:
    value = run.data.metrics.get(metric)
    return f"{run.info.run_name} · {metric} {value:.5g}" if value is not None else str(run.info.run_name)
