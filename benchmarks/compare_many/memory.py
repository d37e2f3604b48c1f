"""What each side reports: time and memory."""

from __future__ import annotations

import json
import time
from pathlib import Path

STATUS = Path("/proc/self/status")


def _resident_mb(field: str) -> float:
    return int(STATUS.read_text().partition(f"{field}:")[2].split()[0]) / 1024


def start() -> tuple[float, float]:
    """Return the time and the resident memory (MB) when the program is loaded and its work begins."""
    return time.perf_counter(), _resident_mb("VmRSS")


def report(begun: tuple[float, float], **facts: object) -> None:
    """Print the seconds and the peak memory (MB) of the work, without those of loading the program."""
    started, loaded_mb = begun
    print(json.dumps({"ready_s": time.perf_counter() - started, "grown_mb": _resident_mb("VmHWM") - loaded_mb, **facts}))
