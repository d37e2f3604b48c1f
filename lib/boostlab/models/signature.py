"""The signature of an MLflow Model: the types of its columns, its parameters, and values as this signature takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from boostlab.models.contract import DTYPES, EPOCH_UNITS, NUMERIC_DATES, Contract, Feature

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema


def cast_to_signature(values: pd.Series, feature: Feature) -> pd.Series:
    """Return a column with the type that MLflow requires for its signature; a column of any type stays as it is.

    Raises
    ------
    ValueError, TypeError
        If a value does not fit.
    """
    import pandas as pd

    if feature.any_type:
        return values
    if feature.mlflow_type in ("double", "long"):
        errors: Literal["coerce", "raise"] = "coerce" if feature.type == "category" else "raise"  # an unknown category is missing
        return pd.to_numeric(as_sent(values, feature), errors=errors).astype(np.dtype(DTYPES[feature.mlflow_type]))
    if feature.mlflow_type == "boolean" and not pd.api.types.is_bool_dtype(values):
        from boostlab.models.predictor import encode_boolean  # it loads XGBoost, which the process that packages a model need not

        codes = pd.Series(encode_boolean(values, feature), index=values.index)
        return codes.map({1.0: True, 0.0: False}) if codes.hasnans else codes.astype(bool)
    return as_sent(values, feature).astype(object) if feature.mlflow_type == "string" else values


def as_sent(values: pd.Series, feature: Feature) -> pd.Series:
    """Return a column with dates as clients send them: as ISO 8601, or as the numbers that stand for them in the user's table.

    Raises
    ------
    ValueError
        If these are dates, and the feature has none.
    """
    import pandas as pd

    if not (pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.infer_dtype(values) == "date"):
        return values
    form = feature.format
    if feature.type == "number":
        raise ValueError("these are dates, and the column holds numbers")
    dates = pd.to_datetime(values, utc=True)
    if form not in NUMERIC_DATES:
        plain = dates.dt.tz_localize(None) if getattr(values.dt, "tz", None) is None else dates
        return plain.map(lambda time: None if pd.isna(time) else time.isoformat()).astype(object)
    if form in EPOCH_UNITS:
        return (dates.dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(1, "s") * EPOCH_UNITS[form]
    return pd.to_numeric(dates.dt.strftime(form))


def state_types(folder: Path) -> None:
    """Give each column of a model's signature a type, for a server: MLflow's reads CSV only then.

    The type is ``string``: MLflow then passes values on as they are, and the predictor reads them.

    Parameters
    ----------
    folder : pathlib.Path
        A copy of an MLflow Model. One that boostlab did not make stays as it is.
    """
    from mlflow.models import Model

    from boostlab.models.loading import is_ours

    if not is_ours(folder):
        return

    model = Model.load(str(folder))
    params = model.signature.params  # what the code in the folder knows, which may be of an earlier version
    model.signature = make_signature(Contract.read_model(folder), stated=True)
    model.signature.params = params
    model.save(str(folder / "MLmodel"))


def make_signature(contract: Contract, *, stated: bool = False) -> ModelSignature:
    """Return the signature of a model; `stated` gives each column a type, as :func:`state_types` does."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    def find_type(item: Feature) -> DataType | AnyType:
        return DataType.string if stated else AnyType() if item.any_type else DataType[item.mlflow_type]

    inputs = Schema([ColSpec(find_type(item), item.name, required=not item.optional) for item in contract.features])
    if contract.task == "regression":
        columns = [ColSpec(DataType.double, name) for name in contract.answer_names]
        return ModelSignature(inputs=inputs, outputs=Schema(columns or [ColSpec(DataType.double)]), params=make_params(contract))
    label = {bool: DataType.boolean, int: DataType.long, float: DataType.double}.get(type(contract.labels[0]), DataType.string)
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec(label)]), params=make_params(contract))


def make_params(contract: Contract) -> ParamSchema:
    """Return the parameters that the installed predictor takes for a model, as MLflow's signature states them."""
    from mlflow.types import DataType, ParamSchema, ParamSpec

    names = ["probabilities", "contributions"] if contract.labels else ["contributions"]
    return ParamSchema([ParamSpec(name, DataType.boolean, False) for name in names])
