"""The kit: the notebooks and parameter sets that come with boostlab, and a new lab made of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from boostlab.errors import LabError

# A lab with the notebooks and parameter sets that come with boostlab: a checkout links to those, a wheel has copies.
KIT = Path(__file__).with_name("templates") / "lab"
MOST_NAMES = 8  # that a message lists


def create_lab(folder: Path) -> list[Path]:
    """Write a new lab: notebooks, parameter sets, tests, Makefile, environment files, README and .gitignore.

    Parameters
    ----------
    folder : pathlib.Path
        May exist. No file in it is overwritten: either all files are written, or none.

    Returns
    -------
    list of pathlib.Path
        The files, relative to `folder`.

    Raises
    ------
    LabError
        If a file is there already, or the folder cannot be written.
    """
    with TemporaryDirectory() as draft:
        _fill(Path(draft), title=" ".join(folder.resolve().name.split()) or "lab")
        files = sorted(path.relative_to(draft) for path in Path(draft).rglob("*") if path.is_file())
        try:
            taken = sorted({str(path) for file in files for path in _find_obstacles(file, folder)})
            if taken:
                more = f" and {len(taken) - MOST_NAMES} more" if len(taken) > MOST_NAMES else ""
                raise LabError(
                    f"{folder} holds {', '.join(taken[:MOST_NAMES])}{more} already, and no file is overwritten. "
                    "Name another folder, or move these files away."
                )
            shutil.copytree(draft, folder, dirs_exist_ok=True)
        except OSError as error:
            raise LabError(f"The lab {folder} cannot be written: {error.strerror}. Name another folder.") from None
    return files


def find_source() -> str:
    """Return what installs this boostlab elsewhere: the file or folder it was installed from, else its release."""
    installed = distribution("boostlab")
    text = installed.read_text("direct_url.json")
    if text is None:
        return f"boostlab=={installed.version}"
    origin = json.loads(text)
    url = str(origin["url"])
    if "vcs_info" in origin:
        return f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return unquote(urlsplit(url).path) if url.startswith("file:") else url


def _find_obstacles(file: Path, folder: Path) -> list[Path]:
    """Return what stands in the way of a file in a folder: the file itself, or a file in the place of one of its folders."""
    parents = [parent for parent in file.parents[:-1] if (folder / parent).exists() and not (folder / parent).is_dir()]
    return [*parents, *([file] if os.path.lexists(folder / file) else [])]


def _fill(draft: Path, *, title: str) -> None:
    from jinja2 import Environment, StrictUndefined

    values = {"title": title, "name": re.sub(r"[^\w-]+", "-", title, flags=re.ASCII).strip("-") or "lab", "source": find_source()}
    shutil.copytree(KIT, draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    render = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False).from_string  # noqa: S701  # no HTML
    for path in draft.rglob("*.j2"):
        path.with_suffix("").write_text(render(path.read_text()).render(values), encoding="utf-8")
        path.unlink()
    (draft / "gitignore").rename(draft / ".gitignore")
