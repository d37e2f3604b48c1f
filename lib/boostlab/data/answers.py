"""The rows of an answer that can be read once, such as that of a database, kept for as many passes as are needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import NoReturn

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from boostlab.data.files import check_size
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import UnnamedFile
from boostlab.errors import DataError

IPC = ds.IpcFileFormat()
COMPRESSION = pa.ipc.IpcWriteOptions(compression="lz4")


def keep_answer(
    reader: pa.RecordBatchReader, read: ReadSettings, shown: str, *, fail: Callable[[Exception], NoReturn]
) -> tuple[ds.Dataset, UnnamedFile]:
    """Return an answer as a table, and the file that holds it and has to live as long.

    Parameters
    ----------
    shown : str
        What is read, as the subject of a sentence.
    fail : callable
        Raises the DataError for an error of the reader.

    Raises
    ------
    DataError
        If the reader fails, the answer is larger than the settings allow, or there is no space for it.
    """
    content, size = UnnamedFile(), 0
    try:
        with content.write() as target, pa.ipc.new_file(target, reader.schema, options=COMPRESSION) as writer:
            for batch in _read_batches(reader, fail):
                size += batch.nbytes
                check_size(shown, size, read)
                writer.write_batch(batch)
    except OSError as error:
        folder = tempfile.gettempdir()
        raise DataError(f"{shown} cannot be kept in {folder}: {error.strerror or error}. Make space, or set TMPDIR.") from None
    part = IPC.make_fragment(content.path, fs.LocalFileSystem())
    return ds.FileSystemDataset([part], reader.schema.remove_metadata(), IPC, fs.LocalFileSystem()), content


def _read_batches(reader: pa.RecordBatchReader, fail: Callable[[Exception], NoReturn]) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except Exception as error:  # each driver has its own
            fail(error)
        yield batch
