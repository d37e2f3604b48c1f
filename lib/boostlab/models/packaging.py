"""Packaging: a trained booster becomes an MLflow Model that any MLflow client can load.

The notebook's kernel writes the model's parts without MLflow. The process that delivers the run packages them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.models.contract import BOOSTER_FILE, CONTRACT_FILE, MODEL_DATA, NUMERIC_DATES, Contract
from boostlab.models.signature import as_sent, cast_to_signature, make_params, make_signature

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

    from boostlab.models.predictor import Predictor

PREDICTOR_FILES = tuple(  # a model's own code
    f"{name}.py" for name in ("predictor", "answers", "contributions", "conversion", "dates", "contract", "booster", "ubjson")
)
EXAMPLE_ROWS = 5
EXAMPLE_FILE = "example.json"
_patching = threading.Lock()  # of MLflow


def write_model(predictor: Predictor, example: pd.DataFrame, folder: Path) -> None:
    """Write a model's parts: ``model.ubj``, ``contract.json`` and ``example.json``.

    Parameters
    ----------
    example : DataFrame
        Rows as a user sends them. The first five become the model's input example.
    folder : pathlib.Path
        An empty or absent folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    predictor.booster.save_model(folder / BOOSTER_FILE)
    predictor.contract.write(folder)
    rows = example[predictor.contract.names].head(EXAMPLE_ROWS)
    rows.to_json(folder / EXAMPLE_FILE, orient="split", index=False, double_precision=15, date_format="iso")


def package_model(parts: Path, folder: Path, *, mlflow_model: Model) -> None:
    """Make an MLflow Model of the parts that :func:`write_model` wrote.

    It has two flavours: ``python_function`` takes raw rows and answers in the user's terms, and ``xgboost`` is the bare booster.
    It holds no pickle, and loading it does not need boostlab.

    Parameters
    ----------
    mlflow_model : mlflow.models.Model
        The description to complete. The caller has set its run and its id.
    """
    contract = Contract.read(parts)
    mlflow_model.add_flavor(
        "xgboost",
        xgb_version=version("xgboost"),
        data=f"{MODEL_DATA}/{BOOSTER_FILE}",
        model_class="xgboost.core.Booster",
        model_format="ubj",
        code=None,
    )
    mlflow_model.signature = make_signature(contract)
    _save_model(parts, folder, contract, mlflow_model=mlflow_model, input_example=_read_example(parts, contract))


def copy_model(model: Path, folder: Path) -> None:
    """Copy an MLflow Model that boostlab made, with the installed predictor and its requirements in the place of the model's own.

    The copy has the model's data, signature and identity, and nothing else of it: no code and no input example.
    """
    from mlflow.models import Model

    given, contract = Model.load(str(model)), Contract.read_model(model)
    names = ("run_id", "model_id", "model_uuid", "utc_time_created", "signature")
    kept = Model(**{name: getattr(given, name) for name in names})
    kept.signature.params = make_params(contract)
    _save_model(model / MODEL_DATA, folder, contract, mlflow_model=kept)


def _save_model(parts: Path, folder: Path, contract: Contract, **more: Any) -> None:
    """Write an MLflow Model with the installed predictor; `more` are arguments of :func:`mlflow.pyfunc.save_model`."""
    import mlflow.pyfunc

    data = folder.with_name(Path(MODEL_DATA).name)
    data.mkdir(parents=True)
    for name in (BOOSTER_FILE, CONTRACT_FILE):
        shutil.copy(parts / name, data / name)
    loader = _copy_loader(folder.parent)
    with _unchecked_requirements():
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=loader.name,
            data_path=str(data),
            code_paths=[str(loader)],
            pip_requirements=list_requirements(contract),
            **more,
        )


def fetch_predictor(client: MlflowClient, run_id: str) -> Predictor:
    """Return the predictor of the model that a run logged.

    Raises
    ------
    LabError
        If the run logged no model, the model's files are gone, or boostlab did not make it.
    """
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    from boostlab.models.predictor import load_predictor

    logged = find_logged_model(client, run_id)
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = mlflow.artifacts.download_artifacts(
                f"{logged.artifact_location}/{MODEL_DATA}", dst_path=folder, tracking_uri=client.tracking_uri
            )
            return load_predictor(place)
        except (MlflowException, OSError, ValueError) as error:
            raise LabError(
                f"The model of the run {run_id} cannot be loaded from {logged.artifact_location}: "
                f"{str(error).strip().splitlines()[0].rstrip('.')}. Train it again."
            ) from None


def find_logged_model(client: MlflowClient, run_id: str) -> LoggedModel:
    """Return MLflow's record of the last model that a run logged, or raise a LabError if there is none."""
    run = client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise LabError(f"The run {run.info.run_name} ({run_id}) logged no model. Choose a run of train.ipynb that finished.")
    return client.get_logged_model(outputs[-1].model_id)


def list_requirements(contract: Contract) -> list[str]:
    """Return the pinned packages that serve a model, without XGBoost's GPU libraries (0.7 GB) if it was trained on a CPU.

    The package ``xgboost-cpu`` lacks these libraries. It exists for Linux and Windows; on macOS ``xgboost`` itself lacks them.
    """
    mlflow, release = f"mlflow=={version('mlflow')}", version("xgboost")
    if not contract.device.startswith("cpu"):
        return [mlflow, f"xgboost=={release}"]
    return [mlflow, f'xgboost-cpu=={release}; sys_platform != "darwin"', f'xgboost=={release}; sys_platform == "darwin"']


@contextmanager
def _unchecked_requirements() -> Iterator[None]:
    """Keep MLflow from comparing a model's requirements with this environment, which has ``xgboost`` instead of ``xgboost-cpu``.

    It would read the files of all installed packages: half a second.
    """
    from mlflow.utils import environment

    name = "warn_dependency_requirement_mismatches"
    with _patching:
        check = getattr(environment, name)
        setattr(environment, name, lambda _requirements: None)
        try:
            yield
        finally:
            setattr(environment, name, check)


def preload() -> None:
    """Import what :func:`package_model` needs while the process is idle."""
    import mlflow.pyfunc  # noqa: F401


def _read_example(parts: Path, contract: Contract) -> pd.DataFrame:
    import pandas as pd

    written = json.loads((parts / EXAMPLE_FILE).read_text(encoding="utf-8"))
    example = pd.DataFrame(written["data"], columns=written["columns"])
    for feature in contract.features:
        if feature.format in NUMERIC_DATES:
            example[feature.name] = as_sent(pd.to_datetime(example[feature.name], format="ISO8601"), feature)
        elif feature.mlflow_type == "datetime" and not feature.any_type:  # MLflow's dates have no zone: such times are UTC
            example[feature.name] = pd.to_datetime(example[feature.name], format="ISO8601", utc=True).dt.tz_localize(None)
        elif feature.mlflow_type in ("double", "long"):  # JSON does not distinguish 1.0 from 1
            example[feature.name] = cast_to_signature(example[feature.name], feature)
    return example


def _copy_loader(folder: Path) -> Path:
    """Copy the predictor as a package with a hash of its source as name: models of different versions load side by side."""
    sources = {name: Path(__file__).with_name(name).read_bytes() for name in PREDICTOR_FILES}
    package = folder / f"boostlab_predictor_{hashlib.sha256(b''.join(sources.values())).hexdigest()[:10]}"
    package.mkdir()
    for name, source in sources.items():
        (package / ("__init__.py" if name == "predictor.py" else name)).write_bytes(source)
    return package
