"""The command ``boostlab``: make a lab, deliver runs, open MLflow's UI, and look after whole stores."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from boostlab.errors import LabError
from boostlab.notebook.kit import create_lab
from boostlab.stores.commands import COMMANDS
from boostlab.tracking import recovery
from boostlab.tracking.journal import Journal, journals_folder, waiting_journals
from boostlab.tracking.store import find_project, find_store, open_store
from boostlab.tracking.ui import STORE_VARIABLE, build_command


@click.group()
def main() -> None:
    """Tools for boostlab's labs and runs. Run notebooks with papermill or JupyterLab."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a new lab into FOLDER: notebooks, parameter sets, tests, Makefile. No file is overwritten."""
    try:
        files = create_lab(folder)
    except LabError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{folder} is a lab of {len(files)} files. Next: cd {shlex.quote(str(folder))} && make train")


@main.command()
@click.argument("name", required=False)
@click.option("--tracking-uri", default="", help="The store's address; needed if the run's own address has a password.")
def deliver(name: str | None, tracking_uri: str) -> None:
    """Deliver runs to the tracking store that was lost, and runs whose process was killed.

    NAME is the journal from the error message. Without it, all waiting journals of this host are delivered.
    """
    folder, waiting = journals_folder(), waiting_journals()
    chosen = [journal for journal in waiting if name in (None, journal.path.name)]
    if name and not chosen:
        known = ", ".join(journal.path.name for journal in waiting) or "none"
        raise click.ClickException(f"No journal {name!r} waits in {folder}. Waiting: {known}.")
    if not chosen:
        click.echo(f"Nothing waits in {folder}.")
    failures = [message for journal in chosen if (message := _deliver(journal, tracking_uri, is_named=bool(name)))]
    if failures:
        raise click.ClickException("\n".join(failures))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--tracking-uri", default="", help="The store; default: MLFLOW_TRACKING_URI, else mlflow.db of the project.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def ui(tracking_uri: str, options: tuple[str, ...]) -> None:
    """Open MLflow's UI on the notebooks' store. OPTIONS are those of `mlflow ui`, such as --port 5001."""
    try:
        store = find_store(tracking_uri, project=find_project())
        open_store(store)
    except LabError as error:
        raise click.ClickException(str(error)) from None
    if store.scheme in ("http", "https"):
        click.echo(f"The store has a UI of its own: {store.shown}")
        return
    os.environ[STORE_VARIABLE] = store.uri
    os.execv(sys.executable, [*build_command(store), *options])  # noqa: S606  # the server replaces this process, without a shell


def _deliver(journal: Journal, tracking_uri: str, *, is_named: bool) -> str | None:
    """Deliver one journal; return the error message if that fails."""
    try:
        facts = journal.facts()
        if not recovery.is_of_this_host(facts) and not is_named:
            host = facts.tags["boostlab.host"]
            return f"{journal.path.name} is a run of the host {host}. If it has ended, run: boostlab deliver {journal.path.name}"
        if not (journal.acquire_delivery() and journal.acquire()):
            return f"{journal.path.name} belongs to a running execution. Wait for its end."
        address = tracking_uri or (facts.store if "***" not in facts.store else os.environ.get("MLFLOW_TRACKING_URI", ""))
        store = find_store(address, project=find_project())
        if store.shown != facts.store and not tracking_uri:
            return f"{journal.path.name} belongs to {facts.store}. Give that address, with its password, as --tracking-uri."
        run_id = recovery.complete_orphan(journal, open_store(store))
    except LabError as error:
        return f"{journal.path.name} is kept: {error}"
    except Exception as error:  # a damaged journal must not stop the delivery of the others
        return f"{journal.path} is damaged, and is kept: {type(error).__name__}: {error}"
    finally:
        journal.release()
    click.echo(f"Delivered {facts.run_name} to {store.shown}: run {run_id}.")
    return None


for _command in COMMANDS:
    main.add_command(_command)


if __name__ == "__main__":
    main()
