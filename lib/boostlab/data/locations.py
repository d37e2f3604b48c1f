"""Where a table is: a local path, an address in object storage, or a query. It is judged by its form: nothing is opened.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from boostlab.errors import locate, suggest
from boostlab.redaction import SecretError, redact

STORAGE = ("s3", "gs", "gcs", "abfs", "abfss")  # object storage, by the scheme of its addresses
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
OPTION = re.compile(r"[?&;][\w.-]+=")  # a ? alone is that of a glob
TEXT = re.compile(r"'((?:[^']|'')*)'|\$(?:\w*)\$(.*?)\$\w*\$", re.DOTALL)  # of SQL, in quotes or between dollar signs
CONNECTION_PASSWORD = re.compile(r"\b(ssl)?password\s*=", re.IGNORECASE)  # in a text that connects by libpq
QUERY = "sql:"
METADATA = ".metadata.json"
FILES = "the path of a .csv, .csv.gz or .parquet file, a folder or a glob, the same in object storage (s3://…), or sql:SELECT …"
AZURE = "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"
CONTAINER = re.compile(r"[a-z0-9$-]{3,63}@[a-zA-Z0-9]{3,24}(\.[\w-]+)+")
ACCESS = {  # what gives access, by the beginning of the scheme
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_REGION and AWS_ENDPOINT_URL, or a profile of ~/.aws",
    "g": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or sign in, such as by az login",
}
POSTGRESQL = ("postgresql", "postgres")


def find_scheme(name: str) -> str:
    """Return the scheme of an address in small letters; empty for a path.

    Examples
    --------
    >>> find_scheme("s3://lake/homes.parquet"), find_scheme("homes.parquet")
    ('s3', '')
    """
    found = SCHEME.match(name)
    return found[1].lower() if found else ""


def find_access(scheme: str) -> str:
    """Return the variables of the environment that give access to object storage."""
    return next(text for start, text in ACCESS.items() if scheme.startswith(start))


def is_query(name: str) -> bool:
    """Tell whether a table is the result of a query."""
    return name.strip()[: len(QUERY)].lower() == QUERY


def is_metadata(name: str) -> bool:
    """Tell whether a table is named by its metadata file, as one of Apache Iceberg is."""
    return name.endswith(METADATA)


def read_query(name: str) -> str:
    """Return the statement of a query: without ``sql:``, and without semicolons at its end."""
    return name.strip()[len(QUERY) :].strip().rstrip(";").rstrip()


def is_local(name: str) -> bool:
    """Tell whether a table is files of this machine."""
    return not find_scheme(name) and not is_query(name)


def check_location(name: str, *, known: Sequence[str] = ()) -> str:
    """Return a table's location if it can be one: for local files they exist, for others the form is right.

    Parameters
    ----------
    known : sequence of str
        Names of data sets that are tables too.

    Raises
    ------
    ValueError
        If it is none. A secret in it is an error too: a run records its parameters.
    """
    if is_query(name):
        _check_query(name)
    elif find_scheme(name):
        _check_address(name)
    elif (
        name not in known and not Path(name).expanduser().exists() and not glob.glob(str(Path(name).expanduser()), recursive=True)
    ):
        if known:
            raise ValueError(
                f"neither a data set of scikit-learn nor a file {locate(name)}.{suggest(name, known)} It takes: "
                f"{', '.join(known)}, or {FILES}."
            )
        raise ValueError(f"there is no file {locate(name)}. Correct the path. It takes {FILES}.")
    return name


def check_connection(text: str) -> str:
    """Return the address of a database, which holds no password.

    Raises
    ------
    ValueError
        If it is no address of PostgreSQL, or holds a password.
    """
    if text and find_scheme(text) not in POSTGRESQL:
        raise ValueError(
            "not the address of a database. It takes postgresql://USER@HOST:PORT/DATABASE; empty: DuckDB reads the files that "
            "the query names."
        )
    plain = unquote(text)
    if redact(text, ()) != text or redact(plain, ()) != plain:
        raise SecretError(
            "it holds a password, which the run would record. Leave the password out: set PGPASSWORD in the environment, or add "
            "a line to ~/.pgpass."
        )
    return text


def _check_address(name: str) -> None:
    scheme = find_scheme(name)
    if scheme == "file":
        path = unquote(name[len("file://") :])
        raise ValueError(
            f"a file of this machine is named by its path{f' {path}' if path.startswith('/') else ''}. It takes {FILES}."
        )
    if scheme in ("az", "adl", "wasb", "wasbs"):
        raise ValueError(f"Azure's storage has addresses of the form {AZURE}.")
    if scheme not in STORAGE:
        raise ValueError(f"no table can be read from {scheme}://.{suggest(scheme, STORAGE)} It takes {FILES}.")
    form = AZURE if scheme.startswith("abfs") else f"{scheme}://BUCKET/KEY"
    if redact(name, ()) != name or OPTION.search(name):
        raise SecretError(
            f"an address takes no keys and no options, because the run records it. Name {form} alone. Keys come from the "
            f"environment: set {find_access(scheme)}."
        )
    place = name.partition("://")[2]
    if not place.split("/")[0] or "//" in place:
        raise ValueError(f"it names no bucket, or has an empty part. It takes {form}.")
    bucket = place.split("/")[0]
    if "@" in bucket if form != AZURE else not CONTAINER.fullmatch(bucket):
        raise ValueError(f"the address has another form. It takes {form}{', with small letters' if form == AZURE else ''}.")


def _check_query(name: str) -> None:
    statement = read_query(name)
    texts = [text for found in TEXT.findall(statement) for text in found]
    if redact(statement, ()) != statement or any(map(CONNECTION_PASSWORD.search, texts)):
        raise SecretError(
            "the query holds a password, which the run would record. Leave it out: set connection to the database's address, and "
            "PGPASSWORD in the environment."
        )
    words = re.sub(r"--[^\n]*\n|/\*.*?\*/|\(", " ", statement, flags=re.DOTALL).split(None, 1)
    if not words or words[0].upper() not in ("SELECT", "WITH", "FROM"):
        raise ValueError("not a query. It takes one statement that reads: sql:SELECT …, or sql:WITH … SELECT …")
