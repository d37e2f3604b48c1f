"""The build context: a folder with a Dockerfile from which a Docker engine, here or elsewhere, builds an image.

The builder ``mlflow`` starts from what ``mlflow models build-docker --env-manager local`` writes. Its server is started
differently: without nginx (which delays answers and hides ``/health`` and ``/version``), with a graceful stop, and not as
root. The builder ``lean`` is boostlab's own: the model and :mod:`boostlab.serving`, without MLflow and pandas.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from boostlab.deployment.settings import Builder
from boostlab.models.loading import FILES, check_model

PORT = 8080  # inside every image
UID = 10001
STOP_TIMEOUT_S = 40  # longer than the server needs to answer the requests that it accepted
TMP_SIZE_MB = 64
LEAN_PACKAGES = ("numpy", "scipy", "orjson", "uvicorn", "uvloop", "httptools", "click", "h11")  # besides XGBoost
FAST_PACKAGES = ("uvloop", "httptools")
STAGE_LABEL = "boostlab.stage"  # marks the images of a build's first stage, which the build leaves behind
HEALTH_CHECK = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health', timeout=2)"
TAIL = f"""\
EXPOSE {PORT}
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "{HEALTH_CHECK}"]
USER {UID}:{UID}
"""
LEAN = """\
FROM {base} AS build
LABEL {stage}=build
COPY requirements.txt /
RUN pip install --no-cache-dir --no-deps --only-binary :all: --target /app/lib -r /requirements.txt \\
 && find /app/lib -depth -type d \\( -name tests -o -name '*.dist-info' \\) -exec rm -rf {{}} +
COPY lib /app/lib
RUN python -m compileall -q /app/lib/boostlab
COPY model /app/model
RUN chmod -R a+rX /app

FROM {base}
{labels}
COPY --from=build /app /app
ENV PYTHONPATH=/app/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 BOOSTLAB_HOST=0.0.0.0 OMP_NUM_THREADS=1
{tail}ENTRYPOINT ["python", "-m", "boostlab.serving", "/app/model"]
"""
STOCK_CHANGES = """
# Changes to MLflow's image. Without uvloop, each answer waits 40 ms for a TCP acknowledgement.
RUN pip install --no-deps --only-binary :all: {packages}
ENV __pyfunc_model_path__=/opt/ml/model UVICORN_HOST=0.0.0.0 UVICORN_PORT={port} UVICORN_WORKERS=2 \\
    UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=30 UVICORN_TIMEOUT_KEEP_ALIVE=75 OMP_NUM_THREADS=1 \\
    MLFLOW_DISABLE_TELEMETRY=true HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
{labels}
{tail}WORKDIR /tmp
ENTRYPOINT ["uvicorn", "mlflow.pyfunc.scoring_server.app:app"]
"""


def write_context(builder: Builder, model: Path, folder: Path, *, labels: Mapping[str, str], base_image: str = "") -> None:
    """Write the build context of an image into an absent or empty folder.

    Parameters
    ----------
    model : pathlib.Path
        The folder of an MLflow Model that boostlab made.
    base_image : str
        The image to start from. Empty: ``python:X.Y.Z-slim`` of this Python.

    Raises
    ------
    LabError
        If the model has no signature, or boostlab did not make it.
    """
    check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    base = base_image or f"python:{platform.python_version()}-slim"
    lines = "\n".join(f"LABEL {name}={_quote(value)}" for name, value in labels.items())
    if builder == "lean":
        _write_lean(model, folder)
        dockerfile = LEAN.format(base=base, stage=STAGE_LABEL, labels=lines, tail=TAIL)
    else:
        stock = write_stock(model, folder, base).partition("ENTRYPOINT")[0]
        dockerfile = stock + STOCK_CHANGES.format(labels=lines, tail=TAIL, port=PORT, packages=" ".join(_pin(FAST_PACKAGES)))
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")


def write_stock(model: Path, folder: Path, base: str) -> str:
    """Let MLflow write its own build context, and return its Dockerfile."""
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    backend = get_flavor_backend(str(model), docker_build=True, env_manager="local")
    backend.generate_dockerfile(model_uri=str(model), output_dir=str(folder), base_image=base)
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    return text.replace(f"FROM {base}\n", f"FROM {base}\nENV PIP_NO_CACHE_DIR=1\n", 1)


def name_repository(model: str) -> str:
    """Return a registered model's name in the form that Docker, Compose and Kubernetes accept.

    Examples
    --------
    >>> name_repository("Casas de Lisboa (2026)")
    'casas-de-lisboa-2026'
    """
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "model"


def _write_lean(model: Path, folder: Path) -> None:
    for name in FILES:
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(model / name, folder / "model" / name)
    package = Path(__file__).parents[1]
    target = folder / "lib" / "boostlab"
    shutil.copytree(package / "serving", target / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "models").mkdir()
    for name in ("__init__.py", "models/__init__.py"):
        (target / name).touch()  # empty: the public names need packages that the image lacks
    for name in ("errors.py", "models/contract.py", "models/predictor.py"):
        shutil.copy(package / name, target / name)
    # The CPU package also for a model trained on a GPU: a saved booster is independent of the device.
    pins = [*_pin(LEAN_PACKAGES), f"xgboost-cpu=={version('xgboost')}"]
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")


def _pin(names: Sequence[str]) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
    return f'"{escaped}"'
