"""Names that try to act as markup, formulas, links or terminal commands, in all notebooks: each stays the text that it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from tests.support.paths import PROJECT
from tests.support.stores import all_runs, read_artifact

NOTEBOOKS = PROJECT / "notebooks"
MARKUP = "<u>evil</u> **evil** `evil` [evil](javascript:evil) <script>evil()</script> <img src=x onerror=evil()>"
FORMULA = r"$\frac$ evil"
STEERING = "\x1b[31mevil\x1b]0;evil\x07"
MODEL = r"<img src=x onerror=evil()> **evil** `evil` $\frac$"  # a registered model has no / and :
COLUMNS = [MARKUP, FORMULA, STEERING, "_evil", r"\$ $x$ $"]
LABELS = [f"yes {MARKUP}", f"no {FORMULA}"]
TAGS = ("u", "strong", "em", "script", "img", "a")


@pytest.mark.slow
def test_names_stay_text_in_all_notebooks(
    execute: Callable[..., Any], look: Callable[..., Any], store: str, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(300, len(COLUMNS))), columns=COLUMNS)
    table[STEERING] = draw.choice([MARKUP, FORMULA, STEERING], len(table))
    table["target $\\frac$ <u>evil</u>"] = np.where(table[MARKUP] + table[FORMULA] > 0, *LABELS)
    table.to_csv(tmp_path / "rows $\\frac$ <u>evil `evil`.csv", index=False)

    def run(notebook: str, **parameters: object) -> str:
        given = {"tracking_uri": store, "experiment": f"e {MARKUP} {FORMULA}", "run_name": f"r {MARKUP} {FORMULA}", **parameters}
        options = [word for name, value in given.items() for word in ("-p", name, value)]
        done = execute(NOTEBOOKS / notebook, "out.ipynb", *options)
        said = str(done.stdout + done.stderr)
        assert done.returncode == 0, said
        assert "\x1b" not in said and "\x07" not in said
        return said

    data = {"dataset": "rows $\\frac$ <u>evil `evil`.csv", "target": table.columns[-1]}
    for name in (f"_r {MARKUP} {STEERING}", f"r {FORMULA}"):
        run("train.ipynb", **data, register_as=MODEL, run_name=name, num_boost_round=10, max_depth=3)
    run("compare.ipynb")
    run("registry.ipynb", model=MODEL, version=1, stage="staging", reason=f"{MARKUP} {FORMULA} {STEERING}")
    run("score.ipynb", model=MODEL, version=1, rows=data["dataset"])
    run("deploy.ipynb", model=MODEL, version=1, output="process")

    runs = all_runs(look())
    assert [each.info.status for each in runs] == ["FINISHED"] * 6
    for each in runs:
        notebook = str(each.data.tags["mlflow.source.name"]).rpartition("/")[2].removesuffix(".ipynb")
        page = BeautifulSoup(read_artifact(look(), each.info.run_id, f"notebook/{notebook}.html"), "html.parser")
        acting = [tag for tag in page.find_all(TAGS) if tag.name == "script" or _is_evil(tag)]
        assert acting == [], notebook
        assert "default-src 'none'" in page.find_all("meta", {"http-equiv": "Content-Security-Policy"})[0]["content"]


def _is_evil(tag: Any) -> bool:
    """Tell whether an element comes from a name: highlighted code and links to our own pages do not."""
    return tag.get_text() == "evil" or "onerror" in tag.attrs or str(tag.get("href", "")).startswith("javascript")
