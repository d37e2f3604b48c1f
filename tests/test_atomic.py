from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boostlab.atomic import write_text


def test_replaces_a_file_and_leaves_no_draft(tmp_path: Path) -> None:
    for text in ("é", "second"):
        write_text(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_keeps_the_old_file_and_no_draft_when_the_write_fails(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "a", "new")

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    texts = {letter * 100_000 for letter in "abcdefgh"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "a", text), texts))

    assert (tmp_path / "a").read_text() in texts and len(list(tmp_path.iterdir())) == 1
