"""The documents in the repository agree with the code that they describe."""

from __future__ import annotations

import re
import tomllib

import pytest
from tests.support.paths import PROJECT

import boostlab

DOCS = PROJECT / "docs"
PACKAGE = PROJECT / "lib" / "boostlab"
PATH = re.compile(r"`([\w./-]+/[\w.-]+|[\w-]+\.py)`")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_each_change_of_the_architecture_names_files_that_exist() -> None:
    _, _, table = (DOCS / "architecture.md").read_text().partition("## Where do I change")
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) >= 20
    for row in rows:
        change, files = row.strip("|").split("|")
        named = PATH.findall(files)
        assert named, change
        assert not [name for name in named if not (PACKAGE / name).exists() and not (PROJECT / name).exists()], change


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md"])
def test_files_named_in_a_document_exist(document: str) -> None:
    named = re.findall(r"`((?:notebooks|parameters|lib|tests|docs)/[\w/.-]+)`", (PROJECT / document).read_text())
    assert named
    assert not [name for name in named if not (PROJECT / name).exists()]


def test_each_package_is_in_the_architecture_and_has_a_page_of_its_api() -> None:
    architecture, index = (DOCS / "architecture.md").read_text(), (DOCS / "api" / "index.md").read_text()
    for name in PACKAGES:
        assert f"`{name}`" in architecture, name
        assert f"[`boostlab.{name}`]({name}.md)" in index
        assert f".. automodule:: boostlab.{name}\n" in (DOCS / "api" / f"{name}.md").read_text()


def test_the_packages_table_of_the_architecture_is_the_contract_of_the_imports() -> None:
    (layers,) = [item["layers"] for item in PYPROJECT["tool"]["importlinter"]["contracts"] if item["type"] == "layers"]
    table = (DOCS / "architecture.md").read_text().partition("## Packages")[2].partition("\n- ")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(re.split(r" [|:] ", layer)) for layer in layers]


def test_each_notebook_is_in_the_gallery_and_has_its_parameters_in_the_guide() -> None:
    gallery, guide = (DOCS / "gallery.sh").read_text(), (DOCS / "guides" / "parameters.md").read_text()
    for notebook in (PROJECT / "notebooks").glob("*.ipynb"):
        assert f'"$pages/{notebook.name}"' in gallery
        assert f"{{parameters}} {notebook.stem}\n" in guide


def test_the_changelog_has_the_present_version_with_its_date() -> None:
    heading = rf"^## \[{re.escape(boostlab.__version__)}\] - \d{{4}}-\d\d-\d\d$"
    assert re.search(heading, (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
