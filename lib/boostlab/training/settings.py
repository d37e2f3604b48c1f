"""Settings of ``train.ipynb``.

Ranges of hyperparameters are those of XGBoost's documentation. This module is read before a kernel starts and therefore imports
nothing heavy.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from boostlab.data.datasets import Dataset
from boostlab.errors import suggest
from boostlab.notebook.settings import Count, ModelName, Settings, Tracked

ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "random_state": "seed",
    "n_jobs": "nthread",
}
Fraction = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


def _find_dataset(name: str) -> str:
    """Refuse a name that is neither a data set nor a file, before anything runs."""
    known = get_args(Dataset)
    path = Path(name).expanduser()
    if name not in known and not path.exists() and not glob.glob(str(path), recursive=True):
        raise ValueError(
            f"neither a data set of scikit-learn nor a file.{suggest(name, known)} It takes: {', '.join(known)}, or the path "
            "of a .csv, .csv.gz or .parquet file, a folder or a glob."
        )
    return name


class Hyperparameters(Settings):
    """XGBoost's hyperparameters by their native names, with the ranges that XGBoost documents."""

    eta: Annotated[float, Field(ge=0, le=1)]
    max_depth: Count
    min_child_weight: NotNegative
    max_delta_step: NotNegative
    gamma: NotNegative
    subsample: Fraction
    colsample_bytree: Fraction
    colsample_bylevel: Fraction
    colsample_bynode: Fraction
    reg_lambda: NotNegative
    reg_alpha: NotNegative
    scale_pos_weight: NotNegative
    tree_method: Literal["auto", "hist", "approx", "exact"]
    grow_policy: Literal["depthwise", "lossguide"]
    max_leaves: Count
    max_bin: Annotated[int, Field(ge=2)]
    num_parallel_tree: Annotated[int, Field(ge=1)]
    xgb_params: dict[str, Any]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    nthread: Count
    device: Annotated[str, Field(pattern=r"^(cpu|gpu|cuda)(:\d+)?$", description="cpu, cuda or cuda:<number>")]

    @model_validator(mode="after")
    def _names_stand_once(self) -> Self:
        for name in self.xgb_params:
            own = ALIASES.get(name, name)
            if own in type(self).model_fields:
                raise ValueError(f"xgb_params names {name}: set it by its own parameter, as -p {own} VALUE.")
        return self

    def booster_params(self) -> dict[str, Any]:
        """Return the parameters for :func:`xgboost.train`, those of `xgb_params` among them.

        `scale_pos_weight` is left out where it changes nothing: with more than two classes XGBoost has no use for it.
        """
        left_out = {"xgb_params"} | ({"scale_pos_weight"} if self.scale_pos_weight == 1 else set())
        named = {name: getattr(self, name) for name in Hyperparameters.model_fields if name not in left_out}
        return named | self.xgb_params


class Train(Tracked, Hyperparameters):
    """The parameters of ``train.ipynb``."""

    dataset: Annotated[str, AfterValidator(_find_dataset)]
    target: str
    features: list[str]
    drop: list[str]
    sample_weight: str
    group: str
    time: str
    task: Literal["auto", "regression", "classification"]
    split: Literal["random", "time"]
    stratify: bool
    test_size: Annotated[float, Field(gt=0, lt=1)]
    valid_size: Annotated[float, Field(gt=0, lt=1)]
    num_boost_round: Annotated[int, Field(ge=1)]
    early_stopping_rounds: Count
    register_as: ModelName

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        if self.dataset in get_args(Dataset):
            given = [name for name in ("target", "sample_weight", "group", "time") if getattr(self, name)]
            if given or self.split == "time":
                raise ValueError(
                    f"{' and '.join(given) or 'split: time'} is for tables of your own: {self.dataset} has its target."
                )
        elif not self.target:
            raise ValueError(f"{self.dataset} needs a target: name the column to predict, as -p target NAME.")
        if self.split == "time" and not self.time:
            raise ValueError("split: time needs the column that tells when: -p time NAME.")
        if self.split == "time" and self.group:
            raise ValueError(
                "split: time and group exclude each other: a group may live on both sides of a moment. Leave one out."
            )
        roles = [name for name in (self.target, self.sample_weight) if name]
        twice = [name for name in roles if name in [*self.features, *self.drop]]
        if twice:
            raise ValueError(f"{twice[0]!r} is the target or the weight: leave it out of features and drop.")
        return self

    @model_validator(mode="after")
    def _training_has_room(self) -> Self:
        rest = round(1 - self.test_size - self.valid_size, 9)
        if rest <= 0:
            raise ValueError(
                f"test_size = {self.test_size:g} and valid_size = {self.valid_size:g} leave no rows for training. "
                "Both are fractions of all rows: choose them so that their sum is below 1."
            )
        return self
