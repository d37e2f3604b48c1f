"""Settings of ``sweep.ipynb``.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from boostlab.cluster.settings import SchedulerAddress
from boostlab.data.settings import Seed
from boostlab.notebook.settings import Count, ModelName, Tracked

SamplerName = Literal["tpe", "random", "grid", "cmaes"]
PrunerName = Literal["none", "median", "hyperband", "wilcoxon"]
DirectionName = Literal["auto", "lower", "higher"]
TEST_PART = "test_"  # before the name of a metric of the test rows
MOST_METRICS = 4
MIN_FOLDS = 4  # with fewer, Wilcoxon's test of two series of folds is never sure at 90 %
PARTS_OF_A_NAME = 40  # characters of a notebook's or a space's name in a study's
OF_A_RUN = (*Tracked.model_fields, "register_as")  # the sweep sets them for its trials


class Sweep(Tracked):
    """The parameters of ``sweep.ipynb``: a study of the points of a space, each of which is a trial of a notebook."""

    study: Annotated[str, Field(pattern=r"^$|\S", max_length=200, description="a name of at most 200 characters")]
    notebook: Annotated[str, Field(pattern=r"\.ipynb$", description="the path of a notebook, such as train.ipynb")]
    space: Annotated[str, Field(pattern=r"\S", description="the name of a file in parameters/sweep, or a path")]
    fixed: dict[str, Any]
    metric: Annotated[list[str], Field(max_length=MOST_METRICS)]
    direction: list[DirectionName]
    sampler: SamplerName
    pruner: PrunerName
    n_trials: Annotated[int, Field(ge=1, le=100_000)]
    timeout_s: Annotated[float, Field(ge=0)]
    n_jobs: Count
    seed: Seed
    scheduler: SchedulerAddress
    champion: ModelName
    final_training: bool
    register_as: ModelName
    max_failures: Annotated[int, Field(ge=1)]

    def study_name(self) -> str:
        """Return the name of the study: `study`, else one derived from all that decides which points are tried and how.

        The same command therefore goes on with the same study, also with more trials, another limit of time or other workers.
        The space counts by its name and not by its content: if its ranges change, the trials that still fit are used.
        """
        if self.study:
            return self.study.strip()
        deciding = ("notebook", "space", "fixed", "metric", "direction", "sampler", "pruner", "seed")
        values = {name: getattr(self, name) for name in deciding} | {"notebook": Path(self.notebook).name}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]
        names = (Path(self.notebook).stem[:PARTS_OF_A_NAME], Path(self.space).stem[:PARTS_OF_A_NAME], digest)
        return "-".join(names)

    @property
    def champion_model(self) -> str:
        """The registered model whose version in production gives the first trial; empty if none is named."""
        return self.champion or self.register_as

    @field_validator("notebook")
    @classmethod
    def _notebook_is_no_sweep(cls, path: str) -> str:
        if Path(path).stem == "sweep":
            raise ValueError("a sweep cannot search a sweep. It takes another notebook, such as train.ipynb.")
        return path

    @field_validator("fixed")
    @classmethod
    def _fixed_is_of_the_notebook(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in values:
            if name in OF_A_RUN:
                raise ValueError(f"{name} says where a run is recorded. Set it for the sweep: -p {name} …")
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("a value is no value of JSON, as finite numbers, text, lists and mappings are.") from None
        return values

    @model_validator(mode="after")
    def _trainings_do_not_wait_for_their_own_workers(self) -> Self:
        if self.scheduler and "scheduler" in self.fixed:
            raise ValueError(
                "fixed names a scheduler, and the trials run on one: a trial would wait for the worker that it occupies. "
                "Leave one of them out."
            )
        if self.fixed.get("workers") and (self.scheduler or self.n_jobs != 1):
            raise ValueError("fixed starts workers for each trial, and trials share the cores. Set n_jobs to 1, or leave it out.")
        return self

    @field_validator("metric")
    @classmethod
    def _metrics_are_not_of_the_test_rows(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name.strip():
                raise ValueError("a name is empty. It takes names of metrics, such as best_valid_rmse.")
            if name.startswith(TEST_PART):
                validation = f"best_valid_{name.removeprefix(TEST_PART)}"
                raise ValueError(
                    f"{name} is of the test rows, which judge the chosen model once; chosen by them, it looks better than it is. "
                    f"Name a metric of the validation rows, such as {validation}, or of a cross-validation."
                )
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice. Remove one of them.")
        return names

    @model_validator(mode="after")
    def _each_metric_has_a_direction(self) -> Self:
        if self.direction and len(self.direction) != max(1, len(self.metric)):
            raise ValueError(
                f"direction has {len(self.direction)} values for {len(self.metric)} metrics. State one for each metric, in the "
                "same order, or none: directions that boostlab knows are found by name."
            )
        return self

    @model_validator(mode="after")
    def _several_metrics_fit_sampler_and_pruner(self) -> Self:
        if len(self.metric) > 1 and self.pruner != "none":
            raise ValueError(
                f"pruner {self.pruner} compares trials by one metric, and there are {len(self.metric)}. Set -p pruner none, or "
                "name one metric."
            )
        if len(self.metric) > 1 and self.sampler == "cmaes":
            raise ValueError(f"sampler cmaes optimises one metric, and there are {len(self.metric)}. Set -p sampler tpe.")
        return self

    @model_validator(mode="after")
    def _wilcoxon_has_folds(self) -> Self:
        folds, repeats = (self.fixed.get(name, default) for name, default in (("folds", 0), ("repeats", 1)))
        if self.pruner != "wilcoxon" or not all(isinstance(number, int) for number in (folds, repeats)):
            return self
        if not folds:
            raise ValueError(
                "pruner wilcoxon compares folds, and there are none. Add -y 'fixed: {folds: 5}', or set -p pruner median."
            )
        if folds * repeats < MIN_FOLDS:
            raise ValueError(
                f"pruner wilcoxon is never sure with {folds * repeats} folds, and stops no trial. Allowed: {MIN_FOLDS} and more, "
                "as -y 'fixed: {folds: 5}'."
            )
        return self

    @model_validator(mode="after")
    def _registration_is_of_a_final_training(self) -> Self:
        if self.register_as and not self.final_training:
            raise ValueError(
                f"register_as {self.register_as} registers the model of the final training, which is off. Set "
                "-p final_training True, or leave register_as empty."
            )
        return self
