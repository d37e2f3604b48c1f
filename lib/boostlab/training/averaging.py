"""The average of several boosters as one booster, so that it is saved, served and explained like any other."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import xgboost as xgb

LOGIT = ("binary:logistic", "reg:logistic")  # objectives whose base score is a probability
EDGE = 1e-6  # XGBoost draws a probability of 0 or 1 so far inwards
LOG = ("count:poisson", "reg:gamma", "reg:tweedie")  # those whose base score is a mean


def average_boosters(boosters: Sequence[xgb.Booster]) -> xgb.Booster:
    """Return a booster whose margin is the mean of the margins of `boosters`.

    It has all their trees, each with its leaves divided by the number of boosters, or with its weight in DART divided so.

    Parameters
    ----------
    boosters : sequence of xgboost.Booster
        Trained with equal parameters on the same inputs.
    """
    models = [json.loads(booster.save_raw("json")) for booster in boosters]
    average = models[0]
    learner, count = average["learner"], len(models)
    learner |= {"attributes": {}, "feature_names": []}
    name = learner["objective"]["name"]
    scores = [_read_margins(model["learner"], name) for model in models]
    means = [math.fsum(column) / count for column in zip(*scores, strict=True)]
    learner["learner_model_param"]["base_score"] = json.dumps([_to_score(mean, name) for mean in means])
    forests = [_find_forest(model) for model in models]
    merged = forests[0]
    merged["trees"] = [tree for forest in forests for tree in forest["trees"]]
    merged["tree_info"] = [group for forest in forests for group in forest["tree_info"]]
    merged["iteration_indptr"] = _join([forest["iteration_indptr"] for forest in forests])
    merged["gbtree_model_param"]["num_trees"] = str(len(merged["trees"]))
    for number, tree in enumerate(merged["trees"]):
        tree["id"] = number
    dart = learner["gradient_booster"]
    if dart["name"] == "dart":
        weights = [weight for model in models for weight in model["learner"]["gradient_booster"]["weight_drop"]]
        dart["weight_drop"] = [weight / count for weight in weights]
    else:
        for tree in merged["trees"]:
            _divide_leaves(tree, count)
    made = xgb.Booster(model_file=bytearray(json.dumps(average), "utf-8"))
    made.feature_names = boosters[0].feature_names  # XGBoost does not decode all escapes of JSON
    return made


def _find_forest(model: dict[str, Any]) -> dict[str, Any]:
    booster = model["learner"]["gradient_booster"]
    forest: dict[str, Any] = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    return forest


def _join(pointers: Sequence[list[int]]) -> list[int]:
    """Return where the rounds of all boosters start and end in the list of all trees."""
    joined = [0]
    for pointer in pointers:
        start = joined[-1]
        joined += [start + place for place in pointer[1:]]
    return joined


def _divide_leaves(tree: dict[str, Any], count: int) -> None:
    conditions, children = tree["split_conditions"], tree["left_children"]
    if "leaf_weights" in tree:  # leaves are vectors
        tree["leaf_weights"] = [weight / count for weight in tree["leaf_weights"]]
    else:
        tree["split_conditions"] = [
            value / count if left == -1 else value for value, left in zip(conditions, children, strict=True)
        ]
    tree["base_weights"] = [weight / count for weight in tree["base_weights"]]


def _read_margins(learner: dict[str, Any], objective: str) -> list[float]:
    scores = [float(text) for text in learner["learner_model_param"]["base_score"].strip("[]").split(",")]
    if objective in LOGIT:
        inside = [min(max(score, EDGE), 1 - EDGE) for score in scores]
        return [math.log(score) - math.log1p(-score) for score in inside]
    return [math.log(score) for score in scores] if objective in LOG else scores


def _to_score(margin: float, objective: str) -> float:
    if objective in LOGIT:
        return 1 / (1 + math.exp(-margin))
    return math.exp(margin) if objective in LOG else margin
