"""Files of this machine and of object storage: one kind of value for both, found, opened and compared by Arrow's file systems.

Keys and endpoints come from the environment alone, as the storage's own tools read them.
"""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
from fsspec.utils import glob_translate
from pyarrow import fs

from boostlab.data.azure import connect_azure
from boostlab.data.locations import find_access, find_scheme
from boostlab.errors import DataError
from boostlab.redaction import first_line

TEXT = (".csv", ".csv.gz")
AT_ONCE = 16  # files that are asked for or opened
CONNECT_S, ANSWER_S, ATTEMPTS = 10, 60, 3  # of a request to object storage
MAGIC = re.compile(r"[*?[]")
NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist|ContainerNotFound", re.IGNORECASE)
NO_ACCESS = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|InvalidAccessKeyId|SIGNATURE|UNRECOGNIZED_CLIENT|INVALID_CLIENT_TOKEN|EXPIRED|ExpiredToken"
    r"|HTTP (status|response code) 40[13]|Forbidden|PERMISSION_DENIED|UNAUTHENTICATED|credential|Authentication",
    re.IGNORECASE,
)
NO_KEYS = re.compile(r"access token", re.IGNORECASE)  # Google's client tries for a while to get one
NO_ANSWER = re.compile(
    r"NETWORK_CONNECTION|curlCode|Could ?n.t (connect|resolve)|Connection (refused|timed out)|REQUEST_TIMEOUT|UNAVAILABLE"
    r"|Fail to get a new connection|Retry (policy|loop)|timed? ?out",
    re.IGNORECASE,
)


class UnnamedFile:
    """A temporary file without a name: nobody else can open it, and it is gone when this process ends, however that is.

    Attributes
    ----------
    path : str
        Opens it in this process, any number of times.
    """

    def __init__(self) -> None:
        self._number, name = tempfile.mkstemp(prefix="boostlab-")
        weakref.finalize(self, os.close, self._number)
        Path(name).unlink()
        self.path = f"/proc/self/fd/{self._number}"

    def write(self) -> IO[bytes]:
        """Open it for its content; an error of the disk is raised at the latest when it is closed."""
        return open(self._number, "wb", closefd=False)


@dataclass(frozen=True)
class File:
    """A file of a table; as text it is the path or the address that people know."""

    path: str  #: in its file system
    shown: str
    size: int = -1  #: in bytes
    system: Any = field(default_factory=fs.LocalFileSystem)
    base: str = ""  #: the folder that holds the table: below it, folders such as ``year=2026`` are columns
    content: UnnamedFile | None = field(default=None, compare=False, repr=False)  #: keeps that of a copy
    stamp: str = field(default="", compare=False)  #: of the original, if this is a copy

    @classmethod
    def here(cls, path: Path, *, base: str = "") -> File:
        """Return a file of this machine."""
        return cls(str(path), str(path), path.stat().st_size, base=base)

    def __str__(self) -> str:
        return self.shown

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.shown).name

    @property
    def is_text(self) -> bool:
        """Whether it is a CSV file."""
        return self.name.endswith(TEXT)

    @property
    def is_zipped(self) -> bool:
        """Whether its content is compressed as a whole, by gzip."""
        return self.name.endswith(".gz")

    @property
    def is_here(self) -> bool:
        """Whether it is a file of this machine that has a name."""
        return not find_scheme(self.shown)

    @property
    def local_path(self) -> Path | None:
        """The path on this machine; None in object storage."""
        return Path(self.path).resolve() if self.is_here else None


def order_of(path: str | Path) -> tuple[str, ...]:
    """Return the key that files are sorted by, folder by folder: a table has one order of rows wherever its files are."""
    return PurePosixPath(path).parts


def find_stored(address: str) -> list[File]:
    """Return the files at an address in object storage: one file, those of a folder that end in .parquet, or those of a glob.

    Raises
    ------
    DataError
        If there is no such bucket or file, or the storage cannot be reached or refuses access.
    """
    scheme, _, place = address.partition("://")
    with explain_faults(address):
        system, prefix = _connect(scheme.lower(), place)
        path = "/".join(filter(None, [prefix, place.partition("/")[2].rstrip("/")]))
        info = system.get_file_info(path)
        if info.type == fs.FileType.File:
            return [File(path, address, info.size, system)]
        if info.type == fs.FileType.Directory:
            found, base = _list(system, path, ".parquet"), path
        else:
            found, base = _match(system, path) if MAGIC.search(path) else [], ""
    if not found:
        with explain_faults(address):
            try:
                system.get_file_info(fs.FileSelector(prefix))
            except FileNotFoundError:
                raise _describe_no_bucket(prefix, address) from None
        missing = f"The folder {address} holds no .parquet file" if base else f"There is no file {address}"
        raise DataError(f"{missing}. Name a file, a folder with .parquet files or a glob, as it stands in the bucket.")
    start = address[: len(address) - len(place)] + place.split("/")[0]
    return [File(item.path, start + item.path.removeprefix(prefix), item.size, system, base) for item in found]


@contextmanager
def explain_faults(shown: str) -> Iterator[None]:
    """Turn an error of object storage into one for people; those of files of this machine pass."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if not find_scheme(shown):
            raise
        raise describe_fault(shown, error) from None


def describe_fault(shown: str, error: Exception) -> DataError:
    """Return the error of an address that cannot be read, in words."""
    scheme, _, place = shown.partition("://")
    bucket, kind = place.split("/")[0], scheme.lower()
    text = first_line(error)
    if NO_BUCKET.search(text):
        return _describe_no_bucket(bucket, shown)
    if NO_ANSWER.search(text) and not NO_KEYS.search(text):
        endpoint = find_endpoint() if kind == "s3" else ""
        where = f" at {endpoint}" if endpoint else ""
        return DataError(
            f"The storage of {shown} does not answer{where}. Check the network, the region and the endpoint. ({text})"
        )
    if NO_ACCESS.search(text) or NO_KEYS.search(text):
        return DataError(f"The storage refuses access to {shown}. Set {find_access(kind)}, with the right to read and list it.")
    return DataError(f"{shown} cannot be read: {text}")


def _describe_no_bucket(bucket: str, shown: str) -> DataError:
    kind = "container" if shown.lower().startswith("abfs") else "bucket"
    advice = ", or AWS_ENDPOINT_URL if it is of another server" if shown.lower().startswith("s3:") else ""
    return DataError(f"There is no {kind} {bucket!r} for {shown}. Correct the address{advice}.")


def _connect(scheme: str, place: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path of its bucket there."""
    bucket = place.split("/")[0]
    try:
        if scheme == "s3":
            return _connect_s3(bucket), bucket
        if scheme in ("gs", "gcs"):
            return _connect_gcs(), bucket
        container, _, host = bucket.partition("@")
        return connect_azure(host), container
    except ImportError:  # some builds of Arrow lack a file system
        raise DataError(f"This build of pyarrow cannot read {scheme}://. Install the one of PyPI: pip install pyarrow.") from None


def _connect_s3(bucket: str) -> Any:
    endpoint = find_endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(
        endpoint_override=endpoint or None,
        region=region or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket)),
        connect_timeout=CONNECT_S,
        request_timeout=ANSWER_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _connect_gcs() -> Any:
    limit = {"retry_time_limit": timedelta(seconds=CONNECT_S)}
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")  # which Google's own clients read
    if not emulator:
        return fs.GcsFileSystem(**limit)
    scheme, _, host = emulator.rpartition("://")
    return fs.GcsFileSystem(anonymous=True, scheme=scheme or "http", endpoint_override=host, **limit)


def find_endpoint() -> str:
    """Return the address of the server for S3 that the environment names; empty: Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _list(system: Any, folder: str, ending: str = "") -> list[fs.FileInfo]:
    found = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    files = [item for item in found if item.type == fs.FileType.File and item.path.endswith(ending)]
    return sorted(files, key=lambda item: order_of(item.path))


def _match(system: Any, pattern: str) -> list[fs.FileInfo]:
    """Return the files that a glob names; ``**`` stands for any folders, as for local files."""
    fixed = pattern[: MAGIC.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]  # the caller has found one
    expression = re.compile(glob_translate(pattern))
    return [item for item in _list(system, fixed) if expression.match(item.path)]
