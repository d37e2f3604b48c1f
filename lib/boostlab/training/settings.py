"""Settings of ``train.ipynb``.

Ranges of hyperparameters are those of XGBoost's documentation. This module is read before a kernel starts and therefore imports
nothing heavy.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from boostlab.cluster.settings import ClusterSettings
from boostlab.data.settings import Dataset, FoldSettings, Memory, Seed, TableSettings
from boostlab.models.contract import Task
from boostlab.notebook.settings import LOG, Count, ModelName, Settings, Tracked
from boostlab.training.decision_settings import DecisionSettings
from boostlab.training.objectives import DEFAULTS, OBJECTIVES, MetricName, ObjectiveName

ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "random_state": "seed",
    "n_jobs": "nthread",
    "eval_metric": "metric",
    "quantile_alpha": "quantiles",
}
Fraction = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, json_schema_extra=LOG)]


class Hyperparameters(Settings):
    """The objective and its metric, XGBoost's hyperparameters by their native names, and the number of rounds.

    Ranges are those that XGBoost documents.
    """

    objective: Literal["auto", ObjectiveName]
    quantiles: list[float]
    metric: Literal["auto", MetricName]
    eta: Annotated[float, Field(ge=0, le=1, json_schema_extra=LOG)]
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

    @property
    def requested_objective(self) -> Literal["auto", ObjectiveName]:
        """The requested objective: `objective`, or for ``auto`` the one that `quantiles` imply."""
        return "reg:quantileerror" if self.objective == "auto" and self.quantiles else self.objective

    @model_validator(mode="after")
    def _objective_metric_and_quantiles_agree(self) -> Self:
        name = self.requested_objective
        names = [name] if name != "auto" else DEFAULTS.values()
        fitting = dict.fromkeys(metric for item in names for metric in OBJECTIVES[item].metrics)
        if self.metric not in ("auto", *fitting):
            raise ValueError(f"metric {self.metric} does not fit objective {name}. Allowed: auto, {', '.join(fitting)}.")
        if name == "auto":
            return self
        if (name == "reg:quantileerror") != bool(self.quantiles):
            raise ValueError(
                f"quantiles = {self.quantiles} does not fit objective {name}. reg:quantileerror, and no other objective, takes "
                "the quantiles to predict: -y 'quantiles: [0.1, 0.5, 0.9]'."
            )
        wrong = [value for value in self.quantiles if not 0 < value < 1 or self.quantiles.count(value) > 1]
        if wrong:
            raise ValueError(
                f"quantiles = {self.quantiles}: {wrong[0]} is out of range, or stands twice. Allowed are different numbers "
                "between 0 and 1, such as -y 'quantiles: [0.1, 0.5, 0.9]'."
            )
        power = self.xgb_params.get("tweedie_variance_power", 1.5)
        if name == "reg:tweedie" and not (isinstance(power, int | float) and 1 < power < 2):
            raise ValueError(
                f"xgb_params: tweedie_variance_power = {power!r} is out of range. Allowed: 1 < tweedie_variance_power < 2. "
                "For 1 use objective count:poisson, for 2 reg:gamma."
            )
        return self

    def booster_params(self) -> dict[str, Any]:
        """Return the parameters for :func:`xgboost.train`, including `xgb_params`, without objective and metric.

        `scale_pos_weight` is left out where it is 1: XGBoost does not use it with more than two classes.
        """
        left_out = {"objective", "quantiles", "metric", "xgb_params", "num_boost_round", "early_stopping_rounds"}
        left_out |= {"scale_pos_weight"} if self.scale_pos_weight == 1 else set()
        named = {name: getattr(self, name) for name in Hyperparameters.model_fields if name not in left_out}
        return named | self.xgb_params


class Train(Tracked, TableSettings, FoldSettings, Hyperparameters, DecisionSettings, ClusterSettings):
    """The parameters of ``train.ipynb``."""

    memory: Memory = "auto"
    final_model: Literal["best", "all_rows", "folds"] = "best"
    learning_curve: bool = False
    details: bool = False
    purpose: Annotated[str, Field(max_length=2000, description="a text of at most 2,000 characters")] = ""
    register_as: ModelName

    @model_validator(mode="after")
    def _folds_judge_the_final_model(self) -> Self:
        if self.final_model != "best" and not self.folds:
            raise ValueError(f"final_model = {self.final_model} needs folds, which judge it: set -p folds 5.")
        return self

    @model_validator(mode="after")
    def _workers_can_share_the_training(self) -> Self:
        if self.is_distributed and self.tree_method == "exact":
            raise ValueError(
                "tree_method exact does not work on shares of the rows: set auto, hist or approx, or leave "
                f"{self.cluster_parameter} out."
            )
        return self

    @property
    def is_refitted(self) -> bool:
        """Whether the final model has learned from all rows, so that the test part judges another model."""
        return self.final_model != "best"

    @property
    def requested_memory(self) -> Memory:
        """Where the rows shall be: ``auto`` keeps them in memory if XGBoost cannot learn from rows on disk."""
        return "internal" if self.memory == "auto" and self._needs_memory else self.memory

    @property
    def _needs_memory(self) -> str:
        """The parameter by which XGBoost learns only from rows in memory; empty if it learns from rows on disk."""
        if self.tree_method in ("approx", "exact"):
            return f"tree_method = {self.tree_method}"
        return "" if self.device.startswith("cpu") else f"device = {self.device}"

    @model_validator(mode="after")
    def _trees_learn_from_disk(self) -> Self:
        if self.memory == "external" and self._needs_memory:
            raise ValueError(
                f"memory = external does not fit {self._needs_memory}: XGBoost learns from rows on disk only with "
                "tree_method hist and device cpu. Set these, or memory internal."
            )
        return self

    @property
    def requested_task(self) -> Literal["auto", Task]:
        """The requested task: `task`, or for ``auto`` that of the objective."""
        name = self.requested_objective
        return OBJECTIVES[name].task if self.task == "auto" and name != "auto" else self.task

    @model_validator(mode="after")
    def _objective_fits_the_task(self) -> Self:
        name = self.requested_objective
        if name != "auto" and self.requested_task != OBJECTIVES[name].task:
            raise ValueError(
                f"task {self.task} does not fit objective {name}, which is for {OBJECTIVES[name].task}. "
                "Leave task as auto, or choose another objective."
            )
        return self

    @model_validator(mode="after")
    def _decisions_are_those_of_classes(self) -> Self:
        name = next(iter(self.requested_decisions), "")
        if name and self.requested_task == "regression":
            raise ValueError(f"{name} = {getattr(self, name)!r} is for classification, and this is a regression. Leave it out.")
        if self.class_weight == "balanced" and self.scale_pos_weight != 1:
            raise ValueError(
                f"class_weight = 'balanced' and scale_pos_weight = {self.scale_pos_weight:g} both weigh the classes. "
                "State one of them: class_weight none, or scale_pos_weight 1."
            )
        return self

    @model_validator(mode="after")
    def _split_fits_the_table(self) -> Self:
        if self.split == "time" and self.dataset in get_args(Dataset):
            raise ValueError(f"split: time is for tables of your own: {self.dataset} has no column of times.")
        if self.split == "time" and not self.time:
            raise ValueError("split: time needs the column of times: -p time NAME.")
        return self
