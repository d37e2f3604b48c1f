"""The papermill engine of boostlab, as papermill's entry point loads it.

papermill imports this module while it sets up its own engines; the import makes :class:`LabEngine` papermill's default.
Other notebooks go to papermill's own engine after one look at their metadata.
"""

from __future__ import annotations

from typing import Any

from papermill.engines import NBClientEngine, papermill_engines

from boostlab.notebook.document import is_lab_notebook


class LabEngine(NBClientEngine):
    """Executes a boostlab notebook as an MLflow run, and any other notebook with papermill's own engine."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, **options: Any) -> Any:
        """Execute a notebook; called by papermill."""
        if not is_lab_notebook(nb):
            return NBClientEngine.execute_notebook(nb, kernel_name, **options)
        from boostlab.execution.headless import execute

        return execute(nb, kernel_name, **options)


papermill_engines.register(None, LabEngine)
