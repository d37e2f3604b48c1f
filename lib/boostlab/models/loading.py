"""Loading of a registered version: its files are fetched once per process, checked, described and loaded.

The installed predictor answers from the model's data. The code in a model's folder runs only if the user trusts it.
"""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.models.artifacts import check_place, explain_unreadable
from boostlab.models.contract import BOOSTER_FILE, CONTRACT_FILE, MODEL_DATA, Contract, Feature, FeatureType, MLflowType
from boostlab.models.signature import make_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    from boostlab.models.predictor import Predictor

MOST_MODELS = 8  # loaded at a time
MOST_NAMES = 20  # files that a message lists
TYPES: dict[MLflowType, FeatureType] = {  # the columns of a model that boostlab did not make, by their type in its signature
    "double": "number",
    "long": "number",
    "boolean": "boolean",
    "string": "category",
    "datetime": "date",
}
ANSWERING = ("boostlab", "xgboost", "pandas", "numpy", "pyarrow")  # packages that decide what is predicted for a file
MLMODEL = "MLmodel"
TRUST = "-p trust_code True"
FILES = (MLMODEL, "serving_input_example.json", f"{MODEL_DATA}/{CONTRACT_FILE}", f"{MODEL_DATA}/{BOOSTER_FILE}")


@cache  # a folder for each version, until the process ends
def fetch_version(client: MlflowClient, name: str, version: int) -> Path:
    """Return the folder of a version's MLflow Model on this machine.

    Raises
    ------
    StoreError
        If its artifacts cannot be read; of the kind ``gone`` only if the store's answer is that it lacks them.
    """
    from mlflow.artifacts import download_artifacts

    location = client.get_model_version_download_uri(name, str(version))
    try:
        check_place(location)
        folder = None if location.startswith("file:") else tempfile.mkdtemp(dir=_make_downloads())
        path = Path(download_artifacts(artifact_uri=location, dst_path=folder, tracking_uri=client.tracking_uri))
        if not (path / MLMODEL).is_file():
            raise FileNotFoundError(f"{location} holds no {MLMODEL}")
    except LabError:
        raise
    except Exception as error:  # whatever the client of an artifact store raises
        what = f"The artifacts of version {version} of {name}"
        raise explain_unreadable(error, what, location=location, needed=MLMODEL, tracking_uri=client.tracking_uri) from None
    return path


def describe_version(client: MlflowClient, name: str, version: int) -> Model:
    """Return a version's MLflow Model: signature, flavours, input example."""
    from mlflow.models import Model

    return Model.load(str(fetch_version(client, name, version)))


def is_ours(model: Path) -> bool:
    """Tell whether a model has a contract: boostlab made it, and the installed predictor can answer for it."""
    return (model / MODEL_DATA / CONTRACT_FILE).is_file()


def identify_model(model: Path) -> str:
    """Return what tells the predictions of a model from those of others: a digest of its data, and the versions that answer.

    It is empty if boostlab did not make the model: then its own code decides.
    """
    if not is_ours(model):
        return ""
    data = b"".join((model / MODEL_DATA / name).read_bytes() for name in (CONTRACT_FILE, BOOSTER_FILE))
    return " ".join([hashlib.sha256(data).hexdigest(), *(f"{name} {metadata.version(name)}" for name in ANSWERING)])


def check_model(model: Path, *, trust_code: bool = False, option: str = "") -> None:
    """Raise a LabError if a model has no signature, or if it could run only by its own code, which is not trusted.

    `option` is how the user can trust the code; empty: not at all.
    """
    text = (model / MLMODEL).read_text(encoding="utf-8")
    if not re.search(r"(?m)^signature:", text):
        raise LabError(f"The model in {model} has no signature, so nobody can tell what it takes. Train and register it again.")
    missing = [name for name in FILES if not (model / name).is_file()]
    if missing and (is_ours(model) or not trust_code):
        raise LabError(
            f"The model in {model} was not made by boostlab: it lacks {', '.join(missing)}. Train it with train.ipynb. "
            f"No code of the model has run. {describe_code(model)}{f' To run its code nonetheless: {option}.' if option else ''}"
        )


def describe_code(model: Path) -> str:
    """Return the files of a model's folder and its requirements, in words: what may run if the user trusts the model."""
    files = sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file())
    required = model / "requirements.txt"
    text = required.read_text(encoding="utf-8", errors="replace") if required.is_file() else ""
    requirements = ", ".join(filter(None, map(str.strip, text.splitlines()))) or "not stated"
    more = f" and {len(files) - MOST_NAMES} more" if len(files) > MOST_NAMES else ""
    return f"Its files: {', '.join(files[:MOST_NAMES])}{more}. Its requirements: {requirements}."


def read_contract(model: Path, *, trust_code: bool = False) -> Contract:
    """Return what a model takes and predicts: by its contract or, if its code is trusted and it has none, by its signature.

    Raises
    ------
    LabError
        If boostlab did not make the model, and its code is not trusted or its signature has no columns of known types.
    """
    check_model(model, trust_code=trust_code, option=TRUST)
    return Contract.read_model(model) if is_ours(model) else _read_signature(model)


def _read_signature(model: Path) -> Contract:
    from mlflow.models import Model

    signature = Model.load(str(model)).signature
    columns = signature.inputs.inputs if signature and signature.inputs else []
    kinds: list[Any] = [getattr(item.type, "name", "") if item.name else "" for item in columns]
    if not kinds or not set(kinds) <= set(TYPES):
        raise LabError(
            f"The model in {model} has no signature with named columns of the types {', '.join(TYPES)}, so it "
            "is not known what the model takes. Log it with one."
        )
    features = [Feature(item.name, TYPES[kind], kind, not item.required) for item, kind in zip(columns, kinds, strict=True)]
    return Contract("regression", (), tuple(features))


@lru_cache(maxsize=MOST_MODELS)
def load_version(client: MlflowClient, name: str, version: int, *, trust_code: bool = False) -> Any:
    """Return a version as MLflow's python_function.

    Parameters
    ----------
    trust_code : bool
        Whether the code in the model's folder answers. Otherwise the installed predictor does, and none of that code runs.

    Raises
    ------
    LabError
        If boostlab did not make the model, and its code is not trusted or does not load.
    """
    from mlflow.pyfunc import load_model

    folder = fetch_version(client, name, version)
    if not trust_code:
        return wrap_predictor(folder)
    try:
        return load_model(str(folder), suppress_warnings=True)
    except Exception as error:  # whatever the model's own code raises
        raise LabError(
            f"The model in {folder} cannot be loaded by its own code: {describe_failure(error)} "
            "If it needs other packages, install them here: its requirements.txt names them."
        ) from None


def wrap_predictor(model: Path) -> PyFuncModel:
    """Return an MLflow Model that the installed predictor answers for; no code of the model runs.

    The predictor alone checks the rows. MLflow would look at each value once more, in Python.

    Raises
    ------
    LabError
        If boostlab did not make the model, or its data are damaged.
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel

    predictor, described = open_predictor(model), Model.load(str(model))
    described.signature = ModelSignature(outputs=described.signature.outputs, params=make_params(predictor.contract))
    return PyFuncModel(described, predictor)


def open_predictor(model: Path) -> Predictor:
    """Return the installed predictor with the data of an MLflow Model; no code of the model runs.

    Raises
    ------
    LabError
        If boostlab did not make the model, or its data are damaged.
    """
    from boostlab.models.predictor import load_predictor

    check_model(model)
    try:
        return load_predictor(model / MODEL_DATA)
    except (ValueError, KeyError, TypeError, OSError) as error:  # XGBoost's errors are ValueErrors
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise LabError(f"The model in {model} cannot be loaded: {reason}. Restore it, or train and register again.") from None


def describe_failure(error: Exception) -> str:
    """Return the type and the first line of an error that a model's own code raised."""
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first_line.rstrip('.')}."


@cache
def _make_downloads() -> str:
    folder = tempfile.mkdtemp(prefix="boostlab-models-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
