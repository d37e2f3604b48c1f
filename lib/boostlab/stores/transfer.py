"""Transfer the content of one run or logged model to its copy, and check the copy as read back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from boostlab.errors import LabError, StoreError
from boostlab.stores.artifacts import fetch_files, list_files, send_files
from boostlab.stores.contents import COPIED_FROM, Item, read_item, translate
from boostlab.stores.facts import Facts, add_facts, describe_item, end_copy, find_missing, list_differences
from boostlab.stores.pair import Outcome, Pair
from boostlab.tracking.store import Store, as_store_error

MOST_DIFFERENCES = 3  # of one item, that a message names


def transfer_item(pair: Pair, item: Item, copy: Item | None) -> None:
    """Add to a copy what it lacks, read it back, and compare; without a copy (in a dry run) only count."""
    if copy is None:
        if pair.is_dry:  # else it could not be made, which is noted
            pair.report.size_bytes += sum(list_files(pair.source, item.location).values())
            pair.report.note(item.kind, "copied")
        return
    if copy.is_deleted:
        raise LabError(f"its copy was deleted in the target. Restore it there: mlflow runs restore --run-id {copy.id}")
    if copy.is_open and COPIED_FROM not in copy.tags:
        pair.report.waiting.append(f"{copy.shown}, the original in the target, is {copy.status}")
        return
    item = read_item(pair.source, item)
    with tempfile.TemporaryDirectory(prefix="boostlab-copy-") as temporary:
        folder = Path(temporary)
        copy, found = _read_target(pair, copy, folder / "found")
        wanted = _read_source(pair, item, copy, folder / "source")
        missing = find_missing(wanted, found, pair.ids)
        if copy.is_open:  # it is new, or an earlier copy was killed
            missing = {key: value for key, value in wanted.items() if found.get(key) != value}
        pair.report.size_bytes += sum((folder / "source" / key[1]).stat().st_size for key in missing if key[0] == "file")
        if missing and not pair.is_dry:
            _write(pair, item, copy, missing, folder / "source")
            _, found = _read_target(pair, copy, folder / "written")
    ignored = missing if pair.is_dry else {}
    differing = list_differences({key: value for key, value in wanted.items() if key not in ignored}, found)
    done: Outcome = "unchanged" if not missing else "copied" if copy.is_open else "completed"
    reasons = [f"{item.shown}: {words}" for words in differing[:MOST_DIFFERENCES]]
    pair.report.note(item.kind, "left alone" if differing else done, *reasons)


def _read_source(pair: Pair, item: Item, copy: Item, folder: Path) -> Facts:
    """Fetch an item's artifacts into a folder, as the copy should have them, and return its facts and their digests."""
    with as_store_error(pair.source):
        facts = describe_item(pair.source, item, pair.ids)
        files = fetch_files(
            pair.source,
            item.location,
            folder,
            edit=lambda text: translate(text.replace(item.location, copy.location), pair.ids),
        )
    is_ours = item.status == "FINISHED" and "boostlab.notebook" in item.tags
    if not files and (item.status == "READY" or is_ours):
        raise StoreError(f"its artifacts are gone: there is no file in {Store(item.location).shown}", kind="gone")
    return facts | {("file", name): digest for name, digest in files.items()}


def _read_target(pair: Pair, copy: Item, folder: Path) -> tuple[Item, Facts]:
    """Return a copy as the target has it now, with its facts and the digests of its artifacts."""
    copy = read_item(pair.target, copy)
    facts = describe_item(pair.target, copy, {each: each for each in pair.ids.values()})
    files = fetch_files(pair.target, copy.location, folder)
    return copy, facts | {("file", name): digest for name, digest in files.items()}


def _write(pair: Pair, item: Item, copy: Item, missing: Facts, folder: Path) -> None:
    if names := {key[1] for key in missing if key[0] == "file"}:
        send_files(pair.target, copy.location, folder, names)
    add_facts(pair.target, copy, item, missing)
    if copy.is_open:
        end_copy(pair.target, copy, item)
