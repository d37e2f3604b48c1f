"""A widget that chooses runs: those to inspect, and the champion and challenger to compare.

It starts with the choice of the parameters. What is shown through it is shown again when the choice changes. Headless it shows
its first choice as text and never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from boostlab.comparison.selection import Selection
from boostlab.display.markdown import escape
from boostlab.errors import LabError
from boostlab.notebook.session import is_headless
from boostlab.widgets.status import render_status

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from mlflow.entities import Run

    from boostlab import tracking

SHOWN_ROWS = 8
HINT = "The outputs below follow the choice."
BUSY = "The outputs below are being drawn …"
ENDED = (
    "The outputs below follow the choice. The run has ended and keeps those of before: run the notebook again to record these."
)


class RunPicker:
    """A choice among the runs of a selection.

    Parameters
    ----------
    pair : sequence of Run
        Champion and challenger of the initial choice; empty if there are fewer than two runs.
    top : int
        How many of the best runs the initial choice inspects.
    run : Run, optional
        The notebook's own run, which records what is shown until it ends.

    Notes
    -----
    A choice outlives its widget: if the notebook runs again with the same parameters, the next picker starts with it.
    """

    last: ClassVar[RunPicker | None] = None

    def __init__(self, selection: Selection, *, pair: Sequence[Run], top: int, run: tracking.Run | None = None) -> None:
        self._runs = {run.info.run_id: run for run in (*selection.runs, *pair)}
        self._labels = [(_label(run, selection.metric), run_id) for run_id, run in self._runs.items()]
        self._initial = [run.info.run_id for run in selection.runs[:top]], [run.info.run_id for run in pair]
        self._inspected, self._pair = self._initial
        self._boxes: Any = None
        self._hint: Any = None
        self._run = run
        self._shown: list[tuple[DisplayHandle, Callable[[], Any]]] = []
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

    def show(self, draw: Callable[[], Any]) -> None:
        """Display what a function returns for the present choice, and in its place what it returns for each later one.

        A text is shown as Markdown.
        """
        from IPython.display import DisplayHandle

        handle = DisplayHandle()
        handle.display(_view(draw()))
        self._shown.append((handle, draw))

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

        from boostlab.widgets.keyboard import KeyboardGuard

        wide = {"width": "auto", "max_width": "42em"}
        shared = {"options": self._labels, "style": {"description_width": "6em"}, "layout": wide}
        rows = min(SHOWN_ROWS, len(self._labels))
        inspected = widgets.SelectMultiple(value=self._inspected, rows=rows, description="inspect", **shared)
        pair = zip(("champion", "challenger"), self._pair, strict=True)
        self._boxes = [inspected, *(widgets.Dropdown(value=value, description=name, **shared) for name, value in pair)]
        self._hint = widgets.HTML(render_status(HINT))
        for box in self._boxes:
            box.observe(lambda _: self._show_again(), "value")
        widget = widgets.VBox([*self._boxes, self._hint, KeyboardGuard()], layout={"overflow": "visible"})
        widget.add_class("boostlab-picker")
        return widget

    def _show_again(self) -> None:
        """Draw all that is shown for the changed choice."""
        has_ended = self._run is not None and self._run.has_ended
        self._hint.value = render_status(BUSY)
        for handle, draw in self._shown:
            try:
                with self._run.unrecorded() if self._run is not None and has_ended else nullcontext():
                    handle.update(_view(draw()))
            except LabError as error:
                handle.update(_view(escape(str(error))))
        self._hint.value = render_status(ENDED if has_ended else HINT)


def _label(run: Run, metric: str) -> str:
    value = run.data.metrics.get(metric)
    return f"{run.info.run_name} · {metric} {value:.5g}" if value is not None else str(run.info.run_name)


def _view(shown: Any) -> Any:
    from IPython.display import Markdown

    return Markdown(shown) if isinstance(shown, str) else shown
