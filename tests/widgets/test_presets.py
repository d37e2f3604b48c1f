"""Presets: which files are offered, what is read, and what is never written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from boostlab.errors import LabError
from boostlab.widgets.presets import find_folder, list_presets, read_preset, save_preset


def test_lie_in_the_projects_folder_of_parameters(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert find_folder(tmp_path / "notebooks" / "train.ipynb") == tmp_path / "parameters" / "train"


def test_lists_sets_of_the_notebooks_values_and_broken_files(tmp_path: Path) -> None:
    for name, text in (("b", "eta: 0.3"), ("a", "# Few.\nmax_depth: 2"), ("gate", "rules: {x: 1}"), ("broken", "eta: [")):
        (tmp_path / f"{name}.yaml").write_text(text)
    assert list_presets(tmp_path, ["eta", "max_depth"]) == ["a", "b", "broken"]
    assert list_presets(tmp_path / "none", ["eta"]) == []
    assert read_preset(tmp_path, "a") == {"max_depth": 2}
    with pytest.raises(LabError, match=r"broken.yaml cannot be read"):
        read_preset(tmp_path, "broken")


def test_saves_values_that_papermill_reads_back_the_same(tmp_path: Path) -> None:
    values = {"eta": 1e-05, "features": ["é", "b"], "dataset": "yes", "read": {"decimal": ","}}
    path = save_preset(tmp_path / "new", "my-set", values)
    assert path.read_text(encoding="utf-8").startswith("# ") and yaml.safe_load(path.read_text(encoding="utf-8")) == values


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("wine", {"eta": 0.3}, "wine.yaml exists, and no preset is overwritten. Choose another name"),
        ("../out", {"eta": 0.3}, "cannot have the name '../out'. Allowed are letters"),
        ("", {"eta": 0.3}, "cannot have the name ''"),
        ("new", {}, "there is none. Change a value first"),
        ("new", {"api_key": "abcd1234"}, "api_key holds a secret"),
        ("new", {"tracking_uri": "postgresql://me:hunter22@host/runs"}, "tracking_uri holds a secret"),
    ],
)
def test_refuses_to_overwrite_and_to_keep_secrets(tmp_path: Path, name: str, values: dict[str, object], words: str) -> None:
    (tmp_path / "wine.yaml").write_text("eta: 0.1")
    with pytest.raises(LabError, match=words):
        save_preset(tmp_path, name, values)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["eta: 0.1"]


def test_says_that_a_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be written: "):
        save_preset(tmp_path / "file" / "folder", "a", {"eta": 1})
