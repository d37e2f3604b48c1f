"""The file of a space: its form, where it is found, and each fault that it can have."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import nbformat
import pytest
import yaml
from tests.support.paths import PROJECT
from tests.support.sweep import TRAIN

from boostlab.errors import LabError
from boostlab.sweep.space import Space

GUIDE = (PROJECT / "docs" / "guides" / "space.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
OPEN = """
n: int = 3
x: float = 0
maybe: float | None = None
text: str = "a"
flag: bool = True
free: object = 1
items: list[str] = []
known: int = 1
"""


def read(tmp_path: Path, text: str, *, notebook: Any = TRAIN, **fixed: Any) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return Space.read(str(path), notebook=notebook, fixed=fixed, folder=tmp_path)


def open_notebook() -> Any:
    """Return a notebook without a schema, with a parameter of each type."""
    cell = nbformat.v4.new_code_cell(OPEN.strip(), metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[cell])


def test_reads_ranges_choices_conditions_constraints_and_known_points(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
        eta: {low: 1e-3, high: 3e-1, log: true}
        max_depth: {low: 2, high: 8, step: 2}
        subsample: {low: 0.5, high: 1, step: 0.1}
        grow_policy: [depthwise, lossguide]
        max_leaves: {choices: [8, 16, 32], when: {grow_policy: lossguide}}
        min_child_weight: {choices: [1, 2.5]}
        constraints: ["max_leaves <= 2 ** max_depth"]
        known: [{}, {grow_policy: lossguide, max_leaves: 8}, {}]
        """,
        seed=4,
    )
    eta, depth, subsample, grow, leaves, weight = space.dimensions
    assert (eta.low, eta.high, eta.log, eta.is_whole) == (0.001, 0.3, True, False)
    assert depth.values() == [2, 4, 6, 8] and all(isinstance(value, int) for value in depth.values())
    assert subsample.values() == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert grow.choices == ("depthwise", "lossguide") and leaves.when == {"grow_policy": ("lossguide",)}
    assert weight.choices == (1.0, 2.5) and isinstance(weight.choices[0], float)
    default = {"eta": 0.1, "max_depth": 4, "subsample": 1.0, "grow_policy": "depthwise", "min_child_weight": 1.0}
    assert space.known == (default, default | {"grow_policy": "lossguide", "max_leaves": 8})
    assert space.name == "space" and space.base["seed"] == 4


@pytest.mark.parametrize("path", sorted((PROJECT / "parameters" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_space_of_the_kit_is_valid(path: Path) -> None:
    space = Space.read(path.stem, notebook=TRAIN, fixed={}, folder=PROJECT)
    assert space.sample(Random(0)) and path.read_text(encoding="utf-8").startswith("# ")


def test_each_example_of_the_guide_is_valid(tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 4
    for example in EXAMPLES:
        assert read(tmp_path, example).dimensions


def test_finds_the_projects_own_space_before_the_kits(tmp_path: Path) -> None:
    folder = tmp_path / "parameters" / "sweep"
    folder.mkdir(parents=True)
    (folder / "quick.yaml").write_text("seed: [1, 2]")
    own, kit = (Space.read(name, notebook=TRAIN, fixed={}, folder=tmp_path) for name in ("quick", "xgboost"))
    assert [dimension.name for dimension in own.dimensions] == ["seed"] and len(kit.dimensions) == 10
    with pytest.raises(
        LabError, match=r"No space 'quik' in .*Did you mean 'quick'\? It takes: quick, seeds, xgboost, or the path"
    ):
        Space.read("quik", notebook=TRAIN, fixed={}, folder=tmp_path)
    with pytest.raises(LabError, match=r"There is no space at .*nowhere\.yaml\. Correct the path, or name a file of"):
        Space.read("nowhere.yaml", notebook=TRAIN, fixed={}, folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no parameter to search. Write one in each line, such as eta:"),
        ("known: [{}]", "no parameter to search"),
        ("- eta", "the file is not a mapping"),
        ("eta: [", "the file cannot be read"),
        ("eta: !!python/object:os.system x", "the file cannot be read"),
        ("? [a, b]\n: 1", "the file cannot be read"),
        ("eta: [0.1]\nmax_depth: [2]\neta: [0.2]", "eta stands twice, the second time in line 3"),
        ("eta: {low: 0.1, low: 0.2, high: 1}", "low stands twice"),
        ("etta: {low: 0.1, high: 1}", "No parameter 'etta'. Did you mean 'eta'?"),
        ("eta: {low: 0.1, hihg: 1}", "eta has no option 'hihg'. Did you mean 'high'?"),
        ("eta: 0.1", "eta: 0.1 is neither a range nor choices"),
        ("eta: {when: {max_depth: 1}}", "eta needs either low and high, or choices"),
        ("eta: {low: 0.1, high: 1, choices: [0.1]}", "eta needs either low and high, or choices"),
        ("eta: {low: 0.1}", "eta has no high"),
        ("eta: {low: a, high: 1}", "eta.low takes a number, not 'a'"),
        ("eta: {low: true, high: 1}", "eta.low takes a number, not True"),
        ("eta: {low: 0, high: .inf}", "eta.high takes a number, not inf"),
        ("max_depth: {low: 1.5, high: 3}", "max_depth.low takes a whole number, not 1.5"),
        ("eta: {low: 0.5, high: 0.5}", "low = 0.5 is not below high = 0.5. A single value belongs in fixed"),
        ("eta: {low: 0, high: 1, log: true}", "log needs low above 0, not 0"),
        ("eta: {low: 0.1, high: 1, log: 1}", "eta.log takes true or false, not 1"),
        ("eta: {low: 0.1, high: 1, log: true, step: 0.1}", "log and step do not go together"),
        ("eta: {low: 0, high: 1, step: 0}", "eta.step = 0 is out of range. Allowed: 0 < step <= 1"),
        ("eta: {low: 0, high: 1, step: 0.3}", "no step of 0.3 from 0 meets high = 1. Nearest is high: 0.9"),
        ("max_depth: {low: 1, high: 4, step: 0.5}", "max_depth.step takes a whole number, not 0.5"),
        ("eta: {low: 0.1, high: 2}", "eta.high: eta = 2.0 is out of range. Allowed: 0 <= eta <= 1."),
        ("max_depth: {low: -1, high: 2}", "max_depth.low: max_depth = -1 is out of range"),
        ("grow_policy: {low: 1, high: 2}", "grow_policy takes no numbers (its type is str). Write choices"),
        ("stratify: {low: 0, high: 1}", "stratify takes no numbers"),
        (
            "grow_policy: [depthwise, losguide]",
            "grow_policy.choices[1]: grow_policy has no choice 'losguide'. Did you mean 'lossguide'?",
        ),
        ("max_depth: [2, 2.5]", "max_depth.choices[1]: max_depth takes a whole number"),
        ("max_depth: [2, true]", "max_depth.choices[1]: max_depth takes a whole number"),
        ("dataset: [iris, iriss]", "dataset.choices[1]"),
        ("max_depth: []", "max_depth.choices takes a list of at least one value, not []"),
        ("max_depth: {choices: 3}", "max_depth.choices takes a list"),
        ("max_depth: [2, 3, 2]", "max_depth.choices has 2 twice"),
        ("seed: [1, 2]", "seed is searched, and fixed to 0. Take it out of the space, or of fixed"),
        ("tracking_uri: [a, b]", "tracking_uri says where a trial is recorded"),
        ("register_as: [a, b]", "register_as says where a trial is recorded"),
        ("eta: {low: 0.1, high: 1, when: lossguide}", "eta.when takes a mapping of parameters to values"),
        ("eta: {low: 0.1, high: 1, when: {max_depht: 1}}", "eta.when: The space has no parameter 'max_depht'"),
        ("eta: {low: 0.1, high: 1, when: {eta: 1}}", "eta depends on itself"),
        ("eta: {low: 0.1, high: 1, when: {max_depth: 1}}\nmax_depth: [1, 2]", "max_depth comes later. Move max_depth before eta"),
        (
            "eta: {low: 0.1, high: 1, when: {max_depth: 1}}\nmax_depth: {choices: [1, 2], when: {eta: 0.1}}",
            "eta and max_depth depend on each other",
        ),
        ("max_depth: [1, 2]\neta: {low: 0.1, high: 1, when: {max_depth: 3}}", "eta.when: max_depth is never 3 in this space"),
        ("max_depth: [1, 2]\neta: {low: 0.1, high: 1, when: {max_depth: []}}", "max_depth is never an empty list"),
        ("max_depth: [1, 2]\nconstraints: max_depth > 1", "constraints takes a list of comparisons"),
        (
            "max_depth: [1, 2]\nconstraints: [max_dept > 1]",
            "the constraint 'max_dept > 1': No parameter 'max_dept'. Did you mean",
        ),
        ("max_depth: [1, 2]\nconstraints: [max_depth > 2]", "none of 1,000 random points meets 'max_depth > 2'"),
        ("max_depth: [1, 2]\nconstraints: [max_depth > dataset]", "compares what cannot be compared"),
        ("max_depth: [1, 2]\nconstraints: [max_depth]", "compares nothing"),
        ("max_depth: [1, 2]\nknown: {max_depth: 1}", "known takes a list of points"),
        ("max_depth: [1, 2]\nknown: [{eta: 1}]", "known[0]: The space has no parameter 'eta'"),
        ("max_depth: [1, 2]\nknown: [{max_depth: 1}, {max_depth: 3}]", "known[1]: max_depth = 3 is not in the space"),
        ("max_depth: [1, 2]\nknown: [{}]", "known[0]: max_depth = 4, the notebook's value, is not in the space"),
        ("max_depth: [1, 2]\nknown: [{max_depth: a}]", "known[0]: max_depth takes a whole number"),
        (
            "max_depth: [1, 2]\neta: {low: 0, high: 1, when: {max_depth: 1}}\nknown: [{max_depth: 2, eta: 0.5}]",
            "eta has a condition",
        ),
        ("max_depth: [1, 2]\nconstraints: [max_depth < 2]\nknown: [{max_depth: 2}]", "does not meet the constraints"),
        (
            "final_model: [best, all_rows]",
            "does not take the point {'final_model': 'all_rows'}: final_model = all_rows needs folds",
        ),
    ],
)
def test_refuses_a_faulty_space(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(LabError) as refusal:
        read(tmp_path, text, seed=0)
    assert words in str(refusal.value) and str(tmp_path / "space.yaml") in str(refusal.value)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [({"etta": 1}, "No parameter 'etta'. Did you mean 'eta'"), ({"eta": 5.0}, "fixed: eta = 5.0 is out of range")],
)
def test_refuses_what_is_fixed_wrongly(tmp_path: Path, fixed: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError, match=re.escape(words)):
        read(tmp_path, "max_depth: [1, 2]", **fixed)


def test_fixed_values_may_need_the_searched_ones(tmp_path: Path) -> None:
    assert read(tmp_path, "folds: [3, 5]", repeats=2).n_points == 2


def test_refuses_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_bytes(b"eta: \xff")
    with pytest.raises(LabError, match="cannot be read"):
        Space.read(str(tmp_path / "space.yaml"), notebook=TRAIN, fixed={}, folder=tmp_path)


def test_a_notebook_without_a_schema_gives_the_types(tmp_path: Path) -> None:
    text = yaml.safe_dump(
        {
            "n": {"low": 1, "high": 3},
            "x": {"low": 0, "high": 9},
            "maybe": {"choices": [None, 0.5]},
            "text": ["a", "b"],
            "flag": [True, False],
            "free": {"low": 1, "high": 4},
            "items": [["a"], ["a", "b"]],
        },
        sort_keys=False,
    )
    space = read(tmp_path, text, notebook=open_notebook())
    point = space.sample(Random(1)) or {}
    assert [type(point[name]).__name__ for name in ("n", "x", "text", "flag", "free", "items")] == [
        *("int", "float", "str", "bool", "int", "list")
    ]
    assert space.dimensions[2].choices == (None, 0.5)
    with pytest.raises(LabError, match=r"n\.choices\[1\]: n takes a whole number"):
        read(tmp_path, "n: [1, a]", notebook=open_notebook())
