"""Contrast as WCAG 2 defines it."""

from __future__ import annotations

from typing import Any

from matplotlib.colors import to_rgb


def luminance(colour: Any) -> float:
    """Return the relative luminance of a colour, from 0 to 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    """Return the contrast of two luminances, from 1 to 21."""
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)
