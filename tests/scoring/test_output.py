"""Files in chunks: written completely or not at all, also when the process is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.waiting import TIMEOUT_S

from boostlab.errors import DataError
from boostlab.scoring.output import write_chunks

CHUNK = pa.table({"a": [1.5, 2.5]})
WRITE_AND_DIE = """
import signal, sys
from pathlib import Path
import pyarrow as pa
from boostlab.scoring.output import write_chunks
with write_chunks(Path(sys.argv[1])) as write:
    for _ in range(3):
        write(pa.table({"a": [1.5, 2.5]}))
    signal.raise_signal(int(sys.argv[2]))
    print("alive after the signal:", signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def write_all(output: Path, *chunks: pa.Table) -> None:
    with write_chunks(output) as write:
        for chunk in chunks:
            write(chunk)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_leaves_no_partial_output_when_the_process_is_stopped(tmp_path: Path, number: int) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old content")

    command = [sys.executable, "-c", WRITE_AND_DIE, str(output), str(int(number))]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)

    assert done.returncode != 0, done.stdout
    assert output.read_text() == "old content"
    assert len([*tmp_path.glob(".out.csv.*.part")]) == (number == signal.SIGKILL)

    other = tmp_path / f".out.csv.{socket.gethostname()}-{os.getppid()}.part"  # of a running process
    other.write_text("")
    write_all(output, CHUNK)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out.csv"]
    assert output.read_text().splitlines() == ['"a"', "1.5", "2.5"]


def test_keeps_the_old_output_after_an_error(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    output.write_text("old content")

    with pytest.raises(DataError, match="cannot be written: Failed to parse string"):
        write_all(output, CHUNK, pa.table({"a": ["text"]}))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.parquet", "old content")]


def test_says_that_the_output_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match="cannot be written"):
        write_all(tmp_path / "file" / "out.csv", CHUNK)
