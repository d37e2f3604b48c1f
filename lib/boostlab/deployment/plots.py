"""The figure of a load test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from boostlab.display.figures import COLOURS, make_figure


def plot_latency(latencies_ms: Mapping[int, Sequence[float]]) -> Figure:
    """Draw the share of requests that were answered within a time, for each number of clients, with p50 and p99."""
    figure, axes = make_figure(3.6)
    for colour, (clients, values) in zip(COLOURS, latencies_ms.items(), strict=False):
        ordered = np.sort(values)
        p50, p99 = np.quantile(ordered, [0.5, 0.99])
        label = f"{clients} client{'s' if clients > 1 else ''}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered), color=colour, label=label)
        axes.plot([p50, p99], [0.5, 0.99], "o", color=colour)
    axes.set(
        title="Latency of one row", xlabel="time to the answer (ms)", ylabel="share of requests", xscale="log", ylim=(0, 1.02)
    )
    axes.legend(frameon=False, loc="lower right")
    return figure
