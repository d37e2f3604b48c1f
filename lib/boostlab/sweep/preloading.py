"""What a sweep needs from its first step: a kernel that waits for its run imports it ahead."""

import mlflow

__all__ = ["mlflow"]
