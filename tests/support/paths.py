"""Where the project and its commands are."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
BOOSTLAB = str(Path(sys.executable).with_name("boostlab"))
