"""Loading of a registered version: its files are fetched once per process, checked, described and loaded."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.models.contract import BOOSTER_FILE, CONTRACT_FILE, MODEL_DATA

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model

MOST_MODELS = 8  # loaded at a time
FILES = ("MLmodel", "serving_input_example.json", f"{MODEL_DATA}/{CONTRACT_FILE}", f"{MODEL_DATA}/{BOOSTER_FILE}")


@cache  # a folder for each version, until the process ends
def fetch_version(client: MlflowClient, name: str, version: int) -> Path:
    """Return the folder of a version's MLflow Model on this machine, or raise a LabError if its artifacts are gone."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        location = client.get_model_version_download_uri(name, str(version))
        folder = None if location.startswith("file:") else tempfile.mkdtemp(dir=_make_downloads())
        path = Path(download_artifacts(artifact_uri=location, dst_path=folder, tracking_uri=client.tracking_uri))
        if not (path / "MLmodel").is_file():
            raise OSError(f"{location} holds no MLmodel")
    except (MlflowException, OSError) as error:
        raise LabError(
            f"The artifacts of version {version} of {name} are gone: {str(error).strip().splitlines()[0]}. "
            "Restore them, or train and register again."
        ) from None
    return path


def describe_version(client: MlflowClient, name: str, version: int) -> Model:
    """Return a version's MLflow Model: signature, flavours, input example."""
    from mlflow.models import Model

    return Model.load(str(fetch_version(client, name, version)))


def check_model(model: Path) -> None:
    """Raise a LabError if a model has no signature, or boostlab did not make it."""
    text = (model / "MLmodel").read_text(encoding="utf-8")
    if not re.search(r"(?m)^signature:", text):
        raise LabError(f"The model in {model} has no signature, so nobody can tell what it takes. Train and register it again.")
    missing = [name for name in FILES if not (model / name).is_file()]
    if missing:
        raise LabError(
            f"The model in {model} was not made by boostlab: it lacks {', '.join(missing)}. Train it with train.ipynb."
        )


@lru_cache(maxsize=MOST_MODELS)
def load_version(client: MlflowClient, name: str, version: int) -> Any:
    """Return a version loaded as MLflow's python_function."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(fetch_version(client, name, version)), suppress_warnings=True)


@cache
def _make_downloads() -> str:
    folder = tempfile.mkdtemp(prefix="boostlab-models-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
