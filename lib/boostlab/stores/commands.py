"""The commands of ``boostlab`` for whole stores."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from boostlab import stores
from boostlab.errors import LabError
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import OpenStore, find_project, find_store, open_store

if TYPE_CHECKING:
    from boostlab.display.tables import Table
    from boostlab.stores.pair import CopyReport

STORE_HELP = "The store; default: MLFLOW_TRACKING_URI, else mlflow.db of the project."
KINDS = {
    "experiment": "experiments",
    "run": "runs",
    "model": "logged models",
    "registered model": "registered models",
    "version": "versions",
}


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Only this experiment; give it several times.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; write nothing.")
def copy(source: str, target: str, experiments: tuple[str, ...], dry_run: bool) -> None:
    """Copy the store FROM into the store TO, of any kinds, and check the copies. What is in TO is never overwritten.

    Run it again after an interruption: it continues. Passwords can be in PGPASSWORD and MLFLOW_TRACKING_PASSWORD.
    """
    with _as_click_error(), tempfile.TemporaryDirectory() as empty:
        opened, to = _open_existing(source), find_store(target, project=find_project())
        shown = to.shown
        if dry_run and to.scheme in ("sqlite", "file") and not to.path.exists():
            to = find_store(f"sqlite:///{empty}/mlflow.db", project=Path(empty))  # a dry run makes no store
        to = open_store(to)
        with click.progressbar(length=1, label=f"{opened.shown} → {shown}", file=sys.stderr) as bar:

            def progress(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos if total else 1)

            report = stores.copy_store(opened, to, experiments=experiments, dry_run=dry_run, progress=progress)
    click.echo(_tabulate(report, dry_run=dry_run))
    if report.waiting:
        click.echo(f"Not copied, because it is still being written: {'; '.join(report.waiting)}. Copy again after its end.")
    if not report.has_changed and not report.problems:
        click.echo("There was nothing to copy: the target has all of it.")
    if report.problems:
        raise click.ClickException("These items were left alone:\n" + "\n".join(f"- {problem}" for problem in report.problems))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tracking-uri", default="", help=STORE_HELP)
def backup(file: Path, tracking_uri: str) -> None:
    """Write a SQLite store with its artifacts into FILE (.tar or .tar.gz). Runs may go on meanwhile."""
    with _as_click_error():
        store = find_store(tracking_uri, project=find_project())
        made = stores.backup_store(store, file)
    click.echo(f"{file} has {made.runs} runs and {made.files} artifacts of {store.shown}, {file.stat().st_size:,} bytes.")
    if made.elsewhere:
        click.echo(f"Not in it, because these artifacts are not on this machine: {', '.join(made.elsewhere)}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def restore(file: Path, folder: Path) -> None:
    """Restore what `boostlab backup` has written into FILE, in a new or empty FOLDER. Each file is checked."""
    with _as_click_error():
        database, made = stores.restore_store(file, folder)
    click.echo(f"Restored {made.runs} runs and {made.files} artifacts. The store is sqlite:///{database}")


@click.command()
@click.option("--days", type=float, default=90.0, show_default=True, help="Only runs that ended longer ago.")
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Only this experiment; give it several times.")
@click.option("--yes", is_flag=True, help="Delete them. Without it, nothing is deleted.")
@click.option("--tracking-uri", default="", help=STORE_HELP)
def prune(days: float, experiments: tuple[str, ...], yes: bool, tracking_uri: str) -> None:
    """List old runs that no registered version, no stage and no other run needs; with --yes, delete them and their artifacts."""
    from boostlab.display.tables import Table

    with _as_click_error():
        store = _open_existing(tracking_uri)
        found = stores.find_unneeded(store, days=days, experiments=experiments)
        deleted = list(stores.delete_unneeded(store, found)) if yes else found
    rows = [[each.run.name, each.run.id, each.run.status, len(each.models), f"{each.size_bytes:,}"] for each in deleted]
    click.echo(Table("Runs that nothing needs", ["name", "run", "status", "models", "bytes"], rows))
    done = "were deleted" if yes else "would be deleted; to delete them, add --yes"
    click.echo(f"{len(deleted)} runs with {sum(each.size_bytes for each in deleted):,} bytes of artifacts {done}.")


@click.command()
@click.option("--tracking-uri", default="", help=STORE_HELP)
def doctor(tracking_uri: str) -> None:
    """Show what works on this machine, and what to do for what does not. Exit status 1 if a training cannot run."""
    from boostlab.display.tables import Table

    with _as_click_error():
        checks = list(stores.diagnose(find_store(tracking_uri, project=find_project())))
    rows = [[each.part, each.state, each.found, each.advice] for each in checks]
    click.echo(Table("What works here", ["part", "state", "found", "what to do"], rows))
    if broken := [each.part for each in checks if each.is_needed and each.state == "fails"]:
        raise click.ClickException(f"A training cannot run here: {', '.join(broken)}.")


def _tabulate(report: CopyReport, *, dry_run: bool) -> Table:
    from boostlab.display.tables import Table

    outcomes = ("copied", "completed", "unchanged", "left alone")
    rows = [[shown, *(report.counts[kind, outcome] for outcome in outcomes)] for kind, shown in KINDS.items()]
    title = "What would be copied" if dry_run else "Copied and checked"
    return Table(f"{title}, {report.size_bytes:,} bytes of artifacts", ["", *outcomes], rows)


def _open_existing(address: str) -> OpenStore:
    """Open a store that exists: a mistyped address must not make one."""
    store = find_store(address, project=find_project())
    check_reachable(store)
    return open_store(store)


@contextmanager
def _as_click_error() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise click.ClickException(str(error)) from None


COMMANDS = (copy, backup, restore, prune, doctor)
