"""The rules for each notebook's parameters: ranges, choices, and what two values must be to one another.

Names, types, defaults and help stand in the notebooks' parameters cells; a test holds both together. Ranges of
hyperparameters are those of XGBoost's own documentation. This module is read before a kernel starts and therefore
imports nothing heavy.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from boostlab.errors import suggest
from boostlab.parameters import Settings
from boostlab.stages import ARCHIVED, read_stage

ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "random_state": "seed",
    "n_jobs": "nthread",
}
SEEN = "what was seen, such as 5:staging production:3"
Dataset = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
Fraction = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
ModelName = Annotated[str, Field(pattern=r"^$|^[^/:]*[^/:\s][^/:]*$", max_length=256, description="a name without / and :")]


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


class Tracked(Settings):
    """Where a run is recorded, and under which name."""

    experiment: Annotated[str, Field(pattern=r"\S", max_length=500, description="a name of at most 500 characters")]
    run_name: str
    tracking_uri: str


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


class Compare(Tracked):
    """The parameters of ``compare.ipynb``."""

    experiments: list[str]
    runs: list[str]
    notebook: str
    search: str
    metric: Annotated[str, Field(pattern=r"^[\w\-. :/]*$", description="a metric's name")]
    direction: Literal["auto", "lower", "higher"]
    how_many: Annotated[int, Field(ge=2, le=1000)]
    top: Annotated[int, Field(ge=1, le=10)]
    champion: str
    challenger: str
    register_as: ModelName

    @model_validator(mode="after")
    def _names_are_given_one_way(self) -> Self:
        if self.runs and (self.experiments or self.search):
            raise ValueError("runs names the runs to compare: leave experiments and search out, which would choose others.")
        return self


class Registry(Tracked):
    """The parameters of ``registry.ipynb``."""

    action: Literal["auto", "show", "register", "promote", "archive", "rollback"]
    model: ModelName
    version: Count
    stage: Annotated[str, AfterValidator(lambda stage: read_stage(stage) if stage.strip() else "")]
    run_id: str
    reason: Annotated[str, Field(max_length=2000, description="a text of at most 2,000 characters")]
    override: bool
    seen: Annotated[str, Field(pattern=r"^([a-z]+:\d+|\d+:[a-z]+)?( ([a-z]+:\d+|\d+:[a-z]+))*$", description=SEEN)]
    gate_file: str

    @property
    def asked(self) -> str:
        """What is to be done: `action`, or what the other parameters ask for."""
        if self.action != "auto":
            return "archive" if self.action == "promote" and self.stage == ARCHIVED else self.action
        if self.run_id:
            return "register"
        return ("archive" if self.stage == ARCHIVED else "promote") if self.version and self.stage else "show"

    @property
    def move(self) -> Literal["promote", "archive", "rollback"]:
        """How a version is to be moved, if it is."""
        if self.asked == "rollback":
            return "rollback"
        return "archive" if self.asked == "archive" or self.stage == ARCHIVED else "promote"

    @property
    def moves(self) -> bool:
        """Whether a version is to be moved: a model that is registered can be moved at once."""
        return self.asked in ("promote", "archive", "rollback") or (self.asked == "register" and self.stage != "")

    @model_validator(mode="after")
    def _request_is_whole(self) -> Self:
        needs = {"register": ("model", "run_id"), "promote": ("model", "version", "stage"), "archive": ("model", "version")}
        needs |= {"rollback": ("model",)}
        missing = [name for name in needs.get(self.asked, ()) if not getattr(self, name)]
        if missing:
            options = " ".join(f"-p {name} …" for name in missing)
            raise ValueError(f"action {self.asked} lacks {' and '.join(missing)}. Add {options}.")
        if self.action == "auto" and (self.version or self.stage) and self.asked == "show":
            raise ValueError("version and stage go together: give both to move a version, or neither.")
        if self.override and not self.reason.strip():
            raise ValueError("override = True needs a reason. Say why the gate is to be overridden: -p reason '…'.")
        return self


class Versioned(Tracked):
    """Which version of which registered model: the one of that number, else the one in that stage."""

    model: ModelName
    stage: Annotated[str, AfterValidator(read_stage)]
    version: Count


class Deploy(Versioned):
    """The parameters of ``deploy.ipynb``."""

    builder: Literal["mlflow", "lean"]
    build: bool
    output: Literal["image", "context", "process"]
    folder: str
    image: Annotated[str, Field(pattern=r"^$|^[a-z0-9]+([._/-]+[a-z0-9]+)*$", description="small letters, digits, . _ - /")]
    base_image: Annotated[str, Field(pattern=r"^\S*$", description="an image's name")]
    registry: Annotated[str, Field(pattern=r"^$|^[\w.-]+(:\d+)?(/[\w./-]+)?$", description="HOST or HOST:PORT")]
    keep: bool
    port: Annotated[int, Field(ge=0, le=65535)]

    @model_validator(mode="after")
    def _only_images_are_kept_and_pushed(self) -> Self:
        if self.output != "image" and (self.keep or self.registry or not self.build):
            raise ValueError(f"output {self.output} makes no image: leave keep, registry and build out.")
        return self


def _find_rows(name: str) -> str:
    """Refuse a file that is not there, before anything runs."""
    if name and not Path(name).expanduser().exists() and not glob.glob(str(Path(name).expanduser()), recursive=True):
        raise ValueError("there is no such file. Paths count from the folder in which the command starts.")
    return name


class Score(Versioned):
    """The parameters of ``score.ipynb``."""

    rows: Annotated[str, AfterValidator(_find_rows)]
    output: Annotated[str, Field(pattern=r"^$|\.(csv|parquet)$", description="a file that ends in .csv or .parquet")]
    probabilities: bool
    chunk_rows: Annotated[int, Field(ge=1, le=10_000_000)]

    @model_validator(mode="after")
    def _rows_and_model_go_together(self) -> Self:
        if bool(self.model) != bool(self.rows):
            raise ValueError(f"{'rows' if self.model else 'model'} is missing: name both, as -p model NAME -p rows FILE.")
        return self
