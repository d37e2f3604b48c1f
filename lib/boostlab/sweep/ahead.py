"""What a sweep needs from its first step: the kernel of a headless execution imports it while its run is being made."""

import mlflow

from boostlab.execution import workshop

__all__ = ["mlflow", "workshop"]
