"""How a notebook comes to its run: papermill has made one for it, or it begins one here."""

from __future__ import annotations

import os
from pathlib import Path

from boostlab.display.numbers import format_number
from boostlab.notebook.session import JOURNAL_VARIABLE
from boostlab.notebook.settings import Settings
from boostlab.redaction import find_secrets
from boostlab.tracking.journal import Journal
from boostlab.tracking.run import Run


def start_run(settings: Settings) -> Run:
    """Attach to the run that papermill's engine made for this notebook; without an engine, begin an interactive run, and show it.

    The notebook's checked parameters become the run's parameters. From here on, pandas shows numbers with four significant digits
    (``pandas.reset_option("display.float_format")`` shows more).

    Raises
    ------
    StoreError
        If a new run is needed and the tracking store cannot be opened.
    """
    values = settings.model_dump()
    if given := os.environ.get(JOURNAL_VARIABLE):
        run = Run(Journal(Path(given)), secrets=find_secrets(values))
    else:
        from boostlab.tracking.interactive import announced, begin_interactive  # a headless kernel does not need it

        with announced() as show:
            interactive = begin_interactive(values)
            run = Run(interactive.owner.journal, interactive=interactive, secrets=interactive.owner.secrets)
        show(run._repr_markdown_())
    import pandas as pd  # it takes a while to load: not before the run is open and the status line tells so

    pd.set_option("display.float_format", format_number)  # in the tables that the notebook shows
    return run
