"""Boosters from files that others may have written: each is checked before XGBoost loads it.

XGBoost trusts a file. With a child, a feature or a category out of range it reads memory that is not its own, and a loop in a
tree never ends. This module checks all indices and lengths, and then gives XGBoost the same bytes.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract import BOOSTER_FILE, Contract
from .ubjson import DAMAGES, parse_ubjson

if TYPE_CHECKING:
    import xgboost as xgb

Array = np.ndarray[Any, Any]
LINKS = ("left_children", "right_children", "parents", "split_indices")
PARTS = (*LINKS, "split_conditions", "split_type", "default_left")  # of each node
STATISTICS = ("loss_changes", "sum_hessian")  # of each node
OBJECTIVES = re.compile(r"(reg|binary|multi|count|survival):\w+")
MOST_OUTPUTS = 100_000


def load_booster(folder: str | Path, contract: Contract) -> xgb.Booster:
    """Load ``model.ubj`` from a folder after checking it.

    Raises
    ------
    ValueError
        If the file is damaged, or its booster does not fit the contract.
    """
    import xgboost as xgb

    return xgb.Booster(model_file=bytearray(read_booster(folder, contract)))


def read_booster(folder: str | Path, contract: Contract) -> bytes:
    """Return the content of ``model.ubj`` after checking it.

    Raises
    ------
    ValueError
        If the file is damaged, or its booster does not fit the contract.
    """
    content = (Path(folder) / BOOSTER_FILE).read_bytes()
    check_booster(content, contract)
    return content


def find_xgboost() -> Path:
    """Return the folder of the package xgboost, without importing it: the lean server does without, and so starts sooner."""
    spec = importlib.util.find_spec("xgboost")
    if spec is None or spec.origin is None:
        raise ValueError("the package xgboost is not installed")
    return Path(spec.origin).parent


def check_booster(content: bytes, contract: Contract) -> None:
    """Raise a ValueError if a booster in UBJSON is damaged, or does not fit the contract."""
    try:
        _check_model(parse_ubjson(content), contract)
    except DAMAGES as error:
        raise ValueError(f"{BOOSTER_FILE} is no booster of XGBoost in UBJSON: {type(error).__name__}: {error}.") from None


def _check_model(model: Any, contract: Contract) -> None:
    learner = model["learner"]
    inputs = [len(item.categories) if item.type == "category" else 0 for item in contract.features for _ in range(item.width)]
    shape = {name: _whole(learner["learner_model_param"][name]) for name in ("num_feature", "num_class", "num_target")}
    _require(shape["num_feature"] == len(inputs), f"has {shape['num_feature']} inputs, and the contract {len(inputs)}")
    outputs = max(shape["num_class"], shape["num_target"], 1)
    expected = max(len(contract.labels), len(contract.quantiles), 1)
    _require(outputs == 1 or outputs == expected <= MOST_OUTPUTS, f"has {outputs} outputs, and the contract {expected}")
    scores = [float(text) for text in str(learner["learner_model_param"]["base_score"]).strip("[]").split(",")]
    _require(len(scores) in (1, outputs) and bool(np.isfinite(scores).all()), "has a wrong base_score")
    _require(OBJECTIVES.fullmatch(learner["objective"]["name"]), f"has the unknown objective {learner['objective']['name']!r}")
    for name in ("feature_names", "feature_types"):
        _require(len(learner.get(name, ())) in (0, len(inputs)), f"has {len(learner.get(name, ()))} {name}")
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        weights = np.asarray(booster["model"]["weights"], np.float32)
        _require(weights.shape == ((len(inputs) + 1) * outputs,), "has a wrong number of weights")
        return
    _require(booster["name"] in ("gbtree", "dart"), f"is of the unknown kind {booster['name']!r}")
    forest = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    if booster["name"] == "dart":
        _require(booster["gbtree"]["name"] == "gbtree", "has a wrong kind inside dart")
        _require(len(booster["weight_drop"]) == len(forest["trees"]), "has a wrong number of weight_drop")
    _check_forest(forest, inputs, outputs)


def _check_forest(forest: Any, inputs: Sequence[int], outputs: int) -> None:
    trees, count = forest["trees"], len(forest["trees"])
    _require(_whole(forest["gbtree_model_param"]["num_trees"]) == count, "has a wrong number of trees")
    _require(_whole(forest["gbtree_model_param"]["num_parallel_tree"]) >= 1, "has no num_parallel_tree")
    _require([tree["id"] for tree in trees] == list(range(count)), "has wrong ids of trees")
    groups = _integers(forest["tree_info"])
    _require(len(groups) == count and _is_between(groups, 0, outputs), "has a wrong tree_info")
    rounds = _integers(forest["iteration_indptr"])
    _require(len(rounds) > 0 and rounds[0] == 0 and rounds[-1] == count and (np.diff(rounds) >= 0).all(), "has wrong rounds")
    _require(not any(len(part) for part in forest.get("cats", {}).values()), "has categories of its own")
    if trees:
        _check_trees(trees, inputs, outputs)


def _check_trees(trees: Sequence[Any], inputs: Sequence[int], outputs: int) -> None:
    """Check the nodes of all trees at once."""
    sizes = np.array([_whole(tree["tree_param"]["num_nodes"]) for tree in trees])
    widths = {max(1, _whole(tree["tree_param"]["size_leaf_vector"])) for tree in trees}
    _require(widths in ({1}, {outputs}), "has leaves of a wrong size")
    width = widths.pop()
    _require((sizes > 0).all(), "has a tree without nodes")
    widths_in = {_whole(tree["tree_param"]["num_feature"]) for tree in trees}
    _require(widths_in == {len(inputs)}, "has a tree with a wrong number of inputs")
    # XGBoost 3.2 changed the format of trees whose leaves are vectors, and crashes on the former one: on a sound file of 3.1.
    version = (find_xgboost() / "VERSION").read_text().strip() if width > 1 else ""
    has_weights = width > 1 and tuple(map(int, version.split(".")[:2])) >= (3, 2)
    changed = f"has vector leaves of another version of XGBoost than {version}: load it with the version that wrote it"
    _require({"leaf_weights" in tree for tree in trees} == {has_weights}, changed)
    for name in (*PARTS, *(STATISTICS if width == 1 or has_weights else ())):
        _require([len(tree[name]) for tree in trees] == sizes.tolist(), f"has {name} of a wrong length")
    _require([len(tree["base_weights"]) for tree in trees] == (sizes * width).tolist(), "has base_weights of a wrong length")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    left, right, parents, features = (_join(trees, name) for name in LINKS)
    inner = np.flatnonzero(left != -1)
    leaves = left == -1
    size = np.repeat(sizes, sizes)
    children = np.concatenate([left[inner], right[inner]])
    _require(bool(((children > 0) & (children < np.tile(size[inner], 2))).all()), "has a child out of range")
    children += np.tile(starts[inner], 2)
    _require(len(np.unique(children)) == len(children), "has a node with two parents, such as in a loop")
    _require(bool((parents[children] + starts[children] == np.tile(inner, 2)).all()), "has a wrong parent")
    _require(_is_between(features[inner], 0, len(inputs)), "has a split on an input out of range")
    values = _join(trees, "split_conditions", np.float32)
    if not has_weights:
        _require(bool((right[leaves] == -1).all()), "has a leaf with a child")
        values = values[leaves] if width == 1 else _join(trees, "base_weights", np.float32)
        _require(bool(np.isfinite(values).all()), "has a leaf that is not finite")
    else:
        weights = [len(tree["leaf_weights"]) for tree in trees]
        most = np.repeat(np.array(weights) // width, sizes)
        _require(bool(((right >= 0) & (right < most))[leaves].all()), "has a leaf out of range")
        _require(bool(np.isfinite(_join(trees, "leaf_weights", np.float32)).all()), "has a leaf that is not finite")
    kinds = _join(trees, "split_type")
    _require(_is_between(kinds, 0, 2), "has a split of an unknown kind")
    for tree in trees:
        if len(tree["categories_nodes"]) or np.any(tree["split_type"]):
            _check_categories(tree, inputs)


def _check_categories(tree: Any, inputs: Sequence[int]) -> None:
    """Check the categories of a tree's splits."""
    names = ("categories", "categories_nodes", "categories_segments", "categories_sizes", "split_type", "split_indices")
    categories, nodes, starts, sizes, kinds, features = (_integers(tree[name]) for name in names)
    _require(len(nodes) == len(starts) == len(sizes), "has categories of a wrong length")
    _require(np.array_equal(nodes, np.flatnonzero(kinds)), "has categories at a wrong node")
    _require(_is_between(starts, 0, len(categories) + 1) and _is_between(sizes, 1, len(categories) + 1), "has a wrong segment")
    _require(np.array_equal(starts, np.cumsum(sizes) - sizes) and sizes.sum() == len(categories), "has a wrong segment")
    known = np.asarray(inputs)[features[nodes]]
    _require(bool(((categories >= 0) & (categories < np.repeat(known, sizes))).all()), "has a category out of range")


def _join(trees: Sequence[Any], name: str, dtype: Any = np.int64) -> Array:
    return np.concatenate([np.asarray(tree[name]) for tree in trees]).astype(dtype)


def _integers(values: Any) -> Array:
    return np.asarray(values).astype(np.int64)


def _is_between(values: Array, low: int, high: int) -> bool:
    return bool(((values >= low) & (values < high)).all())


def _whole(text: str) -> int:
    _require(isinstance(text, str) and re.fullmatch(r"\d{1,9}", text), f"has {text!r} in the place of a whole number")
    return int(text)


def _require(condition: object, fault: str) -> None:
    if not condition:
        raise ValueError(f"{BOOSTER_FILE} {fault}.")
