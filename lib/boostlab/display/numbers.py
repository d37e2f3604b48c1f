"""Numbers for people: as many digits as say something."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10

DIGITS = 4


def format_number(value: float) -> str:
    """Return a number with four significant digits, and no digit before the point left out.

    Examples
    --------
    >>> [format_number(value) for value in (61.283088, 0.00123456, 9999.6, 123456.7, 250, 1e-9, 3e30)]
    ['61.28', '0.001235', '10,000', '123,457', '250', '1e-09', '3e+30']
    """
    if isinstance(value, int) or 10**DIGITS - 0.5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.{DIGITS}g}"


def shorten_float(value: float, digits: int = DIGITS) -> str:
    """Return a value of a table as it is, or with so many significant digits if it is long.

    Examples
    --------
    >>> [shorten_float(value) for value in (0.0380759064334241, 20230101.0, 0.5)]
    ['0.03808', '20230101.0', '0.5']
    """
    return text if len(text := str(value)) <= 10 else f"{value:.{digits}g}"


def shorten_apart(values: Sequence[float]) -> list[str]:
    """Return values with four significant digits where they are long, and with more where these do not tell them apart.

    Examples
    --------
    >>> shorten_apart([0.06873160873590572, 0.1, 4]), shorten_apart([0.06873160873590572, 0.06873160873591])
    (['0.06873', '0.1', '4'], ['0.068731608735906', '0.06873160873591'])
    """
    ways = ([shorten_float(value, digits) for value in values] for digits in range(DIGITS, 17))
    return next((way for way in ways if len(set(way)) == len(set(values))), [str(value) for value in values])


def format_spread(mean: float, deviation: float) -> str:
    """Return a mean and its standard deviation with equal decimals, three digits of the deviation.

    Examples
    --------
    >>> format_spread(152.13348, 77.09), format_spread(1.8333, 0.62361), format_spread(3e5, 12345.6), format_spread(2.0, 0.0)
    ('152.1 ± 77.1', '1.833 ± 0.624', '300,000 ± 12,346', '2 ± 0')
    """
    decimals = max(0, 2 - floor(log10(deviation))) if isfinite(deviation) and deviation > 0 else 7
    if decimals > 6:
        return f"{format_number(mean)} ± {format_number(deviation)}"
    return f"{mean:,.{decimals}f} ± {deviation:,.{decimals}f}"
