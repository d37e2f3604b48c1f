"""The versions of packages on the workers of a cluster: the same as here, or the work is refused."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from boostlab.errors import LabError

PACKAGES = ("boostlab", "mlflow", "xgboost", "papermill", "distributed", "pandas", "numpy", "pyarrow")


def read_versions() -> dict[str, str]:
    """Return the versions of Python, to the minor one, and of the packages that matter."""
    import platform

    return {name: version(name) for name in PACKAGES} | {"python": ".".join(platform.python_version_tuple()[:2])}


def check_versions(found: Any, *, where: str) -> None:
    """Refuse a worker with other versions.

    Parameters
    ----------
    found : mapping or Exception
        The worker's :func:`read_versions`, or the error that came in its place.
    where : str
        The worker, in words.

    Raises
    ------
    LabError
        The message names the worker, and what to do.
    """
    if isinstance(found, ModuleNotFoundError):
        raise LabError(f"The workers have no package {found.name}. Install boostlab in their environment.")
    if isinstance(found, BaseException):
        raise found
    assert isinstance(found, Mapping)
    for name, here in read_versions().items():
        if found.get(name) != here:
            raise LabError(
                f"{where} has {name} {found.get(name)}, and this notebook {here}. Install the same versions on all workers: "
                "otherwise the results depend on the worker."
            )
