"""Boosters to damage: their UBJSON written again after a mutation, and loaded where a crash is seen and survived.

``python -m tests.support.boosters COUNT SEED`` damages each kind of booster COUNT times and prints what crashed. It forks, and a
fork of a process in which XGBoost has threads hangs: so the tests run it as a process of its own, which trains in a fork, too.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xgboost as xgb

from boostlab.models.booster import check_booster
from boostlab.models.contract import Contract, Feature
from boostlab.models.ubjson import NUMBERS, parse_ubjson

MARKERS = {np.dtype(kind): marker for marker, kind in NUMBERS.items()}
WRONG = (-1, 0, 1, 2, 3, 127, 255, 2**16, 2**31 - 1, -(2**31))
LABELS = ("a", "b", "c")
FEATURES = (
    Feature("x", "number", "double"),
    Feature("y", "number", "double"),
    Feature("z", "category", "string", categories=tuple("abcdefgh")),
)
LIMIT_S = 20


def train_boosters() -> dict[str, tuple[bytes, Contract]]:
    """Return boosters of every kind in UBJSON, each with its contract."""
    draw = np.random.default_rng(0)
    rows = np.column_stack([draw.normal(size=(300, 2)), draw.integers(0, 8, 300)]).astype(np.float32)
    classes = draw.integers(0, 3, 300)
    classifier = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3}
    quantiles = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9], "booster": "dart", "rate_drop": 0.5}
    kinds: dict[str, tuple[dict[str, Any], Contract]] = {
        "gbtree": (classifier | {"max_cat_to_onehot": 2}, Contract("classification", LABELS, FEATURES)),
        "one_hot": ({"objective": "count:poisson"}, Contract("regression", (), FEATURES)),
        "dart": (quantiles | {"max_depth": 2}, Contract("regression", (), FEATURES, quantiles=(0.1, 0.5, 0.9))),
        "pruned": ({"tree_method": "exact", "gamma": 20, "num_parallel_tree": 2}, Contract("regression", (), FEATURES[:2])),
        "vector": (classifier | {"multi_strategy": "multi_output_tree"}, Contract("classification", LABELS, FEATURES[:2])),
        "gblinear": ({"booster": "gblinear"}, Contract("regression", (), FEATURES[:2])),
    }
    boosters = {}
    for name, (params, contract) in kinds.items():
        width = len(contract.features)
        types = ["q", "q", "c"][:width]
        data = xgb.DMatrix(
            rows[:, :width], classes, feature_types=types, feature_names=list("xyz")[:width], enable_categorical=True
        )
        boosters[name] = bytes(xgb.train(params | {"nthread": 1, "seed": 0, "verbosity": 0}, data, 4).save_raw("ubj")), contract
    return boosters


def write_ubjson(value: Any) -> bytes:
    """Return a parsed value in UBJSON."""
    if isinstance(value, dict):
        return b"{" + b"".join(_text(key) + write_ubjson(item) for key, item in value.items()) + b"}"
    if isinstance(value, np.ndarray):
        head = b"[$" + MARKERS[value.dtype].encode() + b"#L" + struct.pack(">q", len(value))
        return head + value.tobytes()
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(write_ubjson, value))
    if isinstance(value, str):
        return b"S" + _text(value)
    return b"d" + struct.pack(">f", value) if isinstance(value, float) else b"L" + struct.pack(">q", value)


def mutate(value: Any, draw: np.random.Generator) -> Any:
    """Return a copy of a parsed booster with one fault."""
    if isinstance(value, dict) and value:
        key = str(draw.choice(list(value)))
        if draw.random() < 0.02:
            return {name: item for name, item in value.items() if name != key}
        return value | {key: mutate(value[key], draw)}
    if isinstance(value, list) and value and (isinstance(value[0], dict) or draw.random() < 0.5):
        if draw.random() < 0.05:
            return value[1:] if draw.random() < 0.5 else [*value, value[-1]]
        place = int(draw.integers(len(value)))
        return [*value[:place], mutate(value[place], draw), *value[place + 1 :]]
    if isinstance(value, np.ndarray):
        return _mutate_array(value, draw)
    if isinstance(value, str):
        return str(draw.choice(["", "0", "7", "-1", "2147483647", "99999999999", "[1,2]", "nan", "inf", value[:-1], value + "0"]))
    return int(draw.choice(WRONG)) if not isinstance(value, list) else [0, 1, 2]


def run_child(act: Callable[[], bytes]) -> tuple[bytes, bool]:
    """Return what a function returns in a process of its own, and whether the process survived it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            with open(writer, "wb") as sink:  # noqa: PTH123  # a pipe
                sink.write(act())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as source:  # noqa: PTH123
        found = source.read()
    return found, not os.WIFSIGNALED(os.waitpid(child, 0)[1])


def try_booster(content: bytes, contract: Contract, *, check: bool = True) -> bytes:
    """Use a booster if it passes the check, and return whether it did; `check` can be left out, to see what it is good for."""
    _limit_process()
    try:
        if check:
            check_booster(content, contract)
        use_booster(content, contract)
    except ValueError:  # XGBoost's errors too
        return b""
    return b"passed"


def use_booster(content: bytes, contract: Contract) -> None:
    """Load a booster and predict with it, as the predictor and the lean server do."""
    booster = xgb.Booster(model_file=bytearray(content))
    booster.set_param({"nthread": 1})
    width = len(contract.features)
    rows = np.tile(np.array([-5, -1, 0, 1, 5, np.nan, 7, 1e9], np.float32), (width, 1)).T.copy()
    types, names = ["q", "q", "c"][:width], list("xyz")[:width]
    booster.predict(xgb.DMatrix(rows, feature_types=types, feature_names=names, enable_categorical=True, nthread=1))
    if b"gblinear" in content:  # it has neither of these
        return
    booster.inplace_predict(rows, validate_features=False)
    booster.get_score(importance_type="gain")
    booster.save_config()


def damage(content: bytes, draw: np.random.Generator) -> bytes:
    """Return a booster's bytes with a few of them changed, inserted or left out."""
    damaged = bytearray(content)
    for _ in range(draw.integers(1, 4)):
        place = int(draw.integers(len(damaged)))
        damaged[place : place + int(draw.integers(2))] = draw.bytes(int(draw.integers(2)))
    return bytes(damaged)


def _mutate_array(values: np.ndarray[Any, Any], draw: np.random.Generator) -> np.ndarray[Any, Any]:
    copied = values.copy()
    way = draw.random()
    if way < 0.15 or not len(values):
        return np.append(values, values[-1:] if len(values) else np.ones(1, values.dtype)).astype(values.dtype)
    if way < 0.3:
        return copied[: int(draw.integers(len(copied)))]
    place = int(draw.integers(len(copied)))
    wrong = [np.nan, np.inf, -1.0, 1e30] if copied.dtype.kind == "f" else [*WRONG, *range(8)]
    with np.errstate(over="ignore"):
        copied[place] = np.array(draw.choice(wrong)).astype(copied.dtype)
    if way > 0.9:
        draw.shuffle(copied)
    return copied


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"L" + struct.pack(">q", len(encoded)) + encoded


def _limit_process() -> None:
    """Let this process die of too much time or memory, and print nothing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def main(count: int, seed: int, *, check: bool = True) -> None:
    """Damage each booster `count` times, and print how many are used and how many crash."""
    for name, (content, contract) in pickle.loads(run_child(lambda: pickle.dumps(train_boosters()))[0]).items():
        use = partial(try_booster, contract=contract, check=check)
        assert run_child(partial(use, content)) == (b"passed", True)
        parsed, draw = parse_ubjson(content), np.random.default_rng(seed)
        damaged = (write_ubjson(mutate(parsed, draw)) if number % 4 else damage(content, draw) for number in range(count))
        results = [run_child(partial(use, each)) for each in damaged]
        used, crashes = sum(bool(passed) for passed, _ in results), sum(not survived for _, survived in results)
        print(f"{name}: {used} of {count} are used, {crashes} crash")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), check=sys.argv[3:] != ["unchecked"])
