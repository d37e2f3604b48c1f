"""Print a benchmark's table, and write it into ``benchmarks/README.md`` if asked."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

README = Path(__file__).with_name("README.md")


def print_table(name: str, lines: list[str], *, readme: bool, rounds: int = 0) -> None:
    """Print a Markdown table. With `readme`, write it between the comments of that name in the README.

    `rounds` are those of measured times; 0 if the figures do not depend on the machine.
    """
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, medians of {rounds} rounds" if rounds else "fixed seeds"
    )
    table = "\n".join([*lines, "", f"Measured by `python -m benchmarks.{name}` ({machine})."])
    print(table)
    if readme:
        pattern = f"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        README.write_text(re.sub(pattern, lambda found: f"{found[1]}{table}\n{found[2]}", README.read_text()), encoding="utf-8")
