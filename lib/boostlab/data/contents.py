"""The content of files: what tells it from any other, and copies of it on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pyarrow import fs

from boostlab.data.storage import AT_ONCE, File, UnnamedFile, explain_faults
from boostlab.errors import DataError

COPY_BYTES = 8 << 20
NO_TAG = "None None "  # at the beginning of a stamp: the storage tells neither a tag nor a time


def read_stamps(files: Sequence[File]) -> list[str]:
    """Return what changes if a file is written anew: its time and its size here, and its entity tag in object storage.

    Raises
    ------
    DataError
        If a file is gone, or object storage does not answer.
    """
    if all(file.is_here for file in files):
        return [_read_time(file) for file in files]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(_read_tag, files))


def identify_files(files: Sequence[File]) -> list[str] | None:
    """Return what tells files with their content from all others, also of another day; None if nothing does.

    A file of this machine is another one if it was moved, or another one took its place, whatever its times are.

    Raises
    ------
    DataError
        If a file is gone, or object storage does not answer.
    """
    stamps = [file.stamp or stamp for file, stamp in zip(files, read_stamps(files), strict=True)]
    if not files or any(stamp.startswith(NO_TAG) for stamp in stamps):
        return None
    return [f"{file.local_path or file.shown} {stamp} {_read_place(file)}" for file, stamp in zip(files, stamps, strict=True)]


def _read_time(file: File) -> str:
    facts = _stat(file)
    return f"{facts.st_mtime_ns} {facts.st_size}"


def _read_place(file: File) -> str:
    if not file.is_here:
        return ""
    facts = _stat(file)
    return f"{facts.st_dev} {facts.st_ino} {facts.st_ctime_ns}"


def _stat(file: File) -> os.stat_result:
    try:
        return os.stat(file.path)  # noqa: PTH116  # often
    except OSError as error:
        raise DataError(f"{file} cannot be read any more: {error.strerror}.") from None


def _read_tag(file: File) -> str:
    with explain_faults(file.shown), file.system.open_input_file(file.path) as stream:
        about = {str(name).lower(): value for name, value in (stream.metadata() or {}).items()}
        return f"{about.get('etag')} {about.get('last-modified')} {stream.size()}"


def copy_here(file: File) -> File:
    """Return a copy of a file on this machine, which has no name there and goes with the value: it is read several times."""
    (stamp,) = read_stamps([file])
    content = UnnamedFile()
    try:
        with content.write() as target:
            target.writelines(_read_blocks(file))
    except OSError as error:
        folder = tempfile.gettempdir()
        raise DataError(
            f"{file} cannot be copied to {folder}: {error.strerror}. Make space there, or name another folder by TMPDIR."
        ) from None
    if read_stamps([file]) != [stamp]:
        raise DataError(f"{file} changed while it was read. Run again when the file is complete.")
    return replace(file, path=content.path, system=fs.LocalFileSystem(), content=content, stamp=stamp)


def _read_blocks(file: File) -> Iterator[bytes]:
    with explain_faults(file.shown):
        stream = file.system.open_input_stream(file.path, compression=None)
    with stream:
        while True:
            with explain_faults(file.shown):
                block = stream.read(COPY_BYTES)
            if not block:
                return
            yield block
