"""The build context: a folder with a Dockerfile from which a Docker engine, here or elsewhere, builds an image.

The builder ``mlflow`` starts from what ``mlflow models build-docker --env-manager local`` writes. Its server is started
differently: without nginx (which delays answers and hides ``/health`` and ``/version``), with a graceful stop, and not as
root. The builder ``lean`` is boostlab's own: the model and :mod:`boostlab.serving`, without MLflow and pandas.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from boostlab.deployment.settings import INDEX_ARGS, Builder
from boostlab.models.loading import FILES, check_model
from boostlab.models.packaging import PREDICTOR_FILES, copy_model
from boostlab.models.signature import state_types

PORT = 8080  # inside every image
UID = 10001
STOP_TIMEOUT_S = 40  # longer than the server needs to answer the requests that it accepted
TMP_SIZE_MB = 64
FAST_PACKAGES = ("uvloop", "httptools")
LEAN_PACKAGES = ("msgspec", "numpy", "uvicorn", "starlette", "backports.zstd", *FAST_PACKAGES)  # with what these need
SBOM_TOOLS = ("cyclonedx-bom==7.5.0", "cyclonedx-python-lib[validation]==11.12.0")
SBOM_LABEL = "boostlab.sbom"
SBOM = "/app/sbom.cdx.json"  # in a lean image
EPOCH_S = 315_532_800  # 1980: the time of each file of a context, and of each file that a build of a lean image makes
SHARED_PORT_LABEL = "boostlab.shared-port"  # marks images whose server can share a port with its successor
PACKAGE, TEMPLATES = Path(__file__).parents[1], Path(__file__).with_name("templates")
STAGE_LABEL = "boostlab.stage"  # marks the images of a build's first stage, which the build leaves behind


def write_context(
    builder: Builder, model: Path, folder: Path, *, labels: Mapping[str, str], base_image: str = "", trust_code: bool = False
) -> None:
    """Write the build context of an image into an absent or empty folder.

    Parameters
    ----------
    model : pathlib.Path
        The folder of an MLflow Model.
    base_image : str
        The image to start from. Empty: ``python:X.Y.Z-slim`` of this Python.
    trust_code : bool
        Whether the builder ``mlflow`` packs the model's own code and requirements, instead of the installed predictor.

    Raises
    ------
    LabError
        If the model has no signature, or boostlab did not make it and its code is not trusted.
    """
    check_model(model, trust_code=trust_code)
    folder.mkdir(parents=True, exist_ok=True)
    base = base_image or f"python:{platform.python_version()}-slim"
    values: dict[str, Any] = {"base": base, "stage_label": STAGE_LABEL, "shared_port_label": SHARED_PORT_LABEL}
    values |= {"sbom": SBOM, "sbom_label": SBOM_LABEL, "epoch_s": EPOCH_S, "build_args": INDEX_ARGS}
    if builder == "lean":
        _write_lean(model, folder)
    else:
        values |= {"stock": write_stock(model, folder, base, trust_code=trust_code).partition("ENTRYPOINT")[0]}
        values |= {"packages": _pin(FAST_PACKAGES)}
        for file in (PACKAGE / "serving" / "health.py", *(TEMPLATES / "stock").iterdir()):
            if file.is_file():  # no compiled modules
                shutil.copy(file, folder)
    dockerfile = render_template(f"{builder}.Dockerfile", labels=labels, **values)
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    for path in (folder, *folder.rglob("*")):  # the engine takes times and modes over
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S))


def render_template(file: str, **values: Any) -> str:
    """Return the text of a file for images: its template with values filled in."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(loader=PackageLoader("boostlab.deployment"), undefined=StrictUndefined)  # noqa: S701  # no HTML
    templates.filters["quote"] = _quote
    limits = {"port": PORT, "uid": UID, "stop_timeout_s": STOP_TIMEOUT_S, "tmp_size_mb": TMP_SIZE_MB}
    return templates.get_template(f"{file}.j2").render(values | limits) + "\n"


def write_stock(model: Path, folder: Path, base: str, *, trust_code: bool = False) -> str:
    """Let MLflow write its own build context, and return its Dockerfile."""
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    with tempfile.TemporaryDirectory() as temporary:
        source = model if trust_code else Path(temporary) / "model"
        if not trust_code:
            copy_model(model, source)
        backend = get_flavor_backend(str(source), docker_build=True, env_manager="local")
        backend.generate_dockerfile(model_uri=str(source), output_dir=str(folder), base_image=base)
    for file in folder.rglob("MLmodel"):
        state_types(file.parent)
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    lines = [f"FROM {base}", *(f"ARG {name}" for name in INDEX_ARGS), "ENV PIP_NO_CACHE_DIR=1", ""]
    return text.replace(f"FROM {base}\n", "\n".join(lines), 1)


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
        (folder / "root/app/model" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(model / name, folder / "root/app/model" / name)
    target = folder / "lib" / "boostlab"
    shutil.copytree(PACKAGE / "serving", target / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "models").mkdir()
    for name in ("__init__.py", "models/__init__.py"):
        (target / name).touch()  # empty: the public names need packages that the image lacks
    for name in ("errors.py", *(f"models/{name}" for name in PREDICTOR_FILES)):
        shutil.copy(PACKAGE / name, target / name)
    # The CPU package also for a model trained on a GPU: a saved booster is independent of the device. Its library alone is
    # loaded, so scipy, which its Python code imports, is left out.
    pins = [*_pin(_add_dependencies(LEAN_PACKAGES)), f"xgboost-cpu=={version('xgboost')}"]
    _describe_boostlab(folder / "lib", pins)
    shutil.copytree(TEMPLATES / "lean", folder / "build")
    (folder / "build" / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    (folder / "build" / "tools.txt").write_text("\n".join(SBOM_TOOLS) + "\n", encoding="utf-8")


def _describe_boostlab(folder: Path, pins: Sequence[str]) -> None:
    """Write the metadata of this package for scanners; those of the installation name packages that the image lacks."""
    own = distribution("boostlab")
    fields = {"Metadata-Version": "2.4", "Name": "boostlab", "Version": own.version, "Summary": own.metadata["Summary"]}
    lines = [f"{name}: {value}" for name, value in (fields | {"License-Expression": "MIT"}).items()]
    info = folder / f"boostlab-{own.version}.dist-info"
    (info / "licenses").mkdir(parents=True)
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {pin}" for pin in pins), ""]), encoding="utf-8")
    for file in own.files or ():
        if file.parent.name == "licenses":
            shutil.copy(str(file.locate()), info / "licenses")


def _add_dependencies(names: Sequence[str]) -> list[str]:
    """Return packages and all that they need, sorted."""
    found, left = set(), list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            needs = (Requirement(text) for text in distribution(name).requires or ())
            left += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return sorted(found)


def _pin(names: Sequence[str]) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
    return f'"{escaped}"'
