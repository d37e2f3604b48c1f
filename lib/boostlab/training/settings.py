"""Settings of ``train.ipynb``.

Ranges of hyperparameters are those of XGBoost's documentation. This module is read before a kernel starts and therefore imports
nothing heavy.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from boostlab.data.settings import Dataset, Seed, SplitSettings, TableSettings
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


class Hyperparameters(Settings):
    """XGBoost's hyperparameters by their native names, with the ranges that XGBoost documents, and the number of rounds."""

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
    num_boost_round: Annotated[int, Field(ge=1)]
    early_stopping_rounds: Count
    seed: Seed
    nthread: Count
    device: Annotated[str, Field(pattern=r"^(cpu|gpu|cuda)(:\d+)?$", description="cpu, cuda or cuda:<number>")]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for name in self.xgb_params:
            own = ALIASES.get(name, name)
            if own in type(self).model_fields:
                raise ValueError(f"xgb_params names {name}: set it by its own parameter, as -p {own} VALUE.")
        return self

    def booster_params(self) -> dict[str, Any]:
        """Return the parameters for :func:`xgboost.train`, including `xgb_params`.

        `scale_pos_weight` is left out where it is 1: XGBoost does not use it with more than two classes.
        """
        left_out = {"xgb_params", "num_boost_round", "early_stopping_rounds"}
        left_out |= {"scale_pos_weight"} if self.scale_pos_weight == 1 else set()
        named = {name: getattr(self, name) for name in Hyperparameters.model_fields if name not in left_out}
        return named | self.xgb_params


class Train(Tracked, TableSettings, SplitSettings, Hyperparameters):
    """The parameters of ``train.ipynb``."""

    register_as: ModelName

    @model_validator(mode="after")
    def _split_fits_the_table(self) -> Self:
        if self.split == "time" and self.dataset in get_args(Dataset):
            raise ValueError(f"split: time is for tables of your own: {self.dataset} has no column of times.")
        if self.split == "time" and not self.time:
            raise ValueError("split: time needs the column of times: -p time NAME.")
        return self
