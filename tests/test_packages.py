"""The packages' public API: small, complete, lazy, and where other people's notebooks expect it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import boostlab

PACKAGES = sorted(path.parent.name for path in Path(boostlab.__file__).parent.glob("*/__init__.py"))
MOST_NAMES = 8
HEAVY = (
    "IPython",
    "docker",
    "ipywidgets",
    "matplotlib",
    "mlflow",
    "nbformat",
    "numpy",
    "pandas",
    "pyarrow",
    "sklearn",
    "xgboost",
)


@pytest.mark.parametrize("name", ["boostlab", *(f"boostlab.{package}" for package in PACKAGES if package != "serving")])
def test_a_package_has_a_few_public_names_and_each_is_there(name: str) -> None:
    package = importlib.import_module(name)
    assert 0 < len(package.__all__) <= MOST_NAMES
    assert package.__doc__
    for public in package.__all__:
        assert getattr(package, public) is not None
        assert not Path(package.__path__[0], f"{public}.py").exists(), f"{name}.{public} hides the module of that name"


def test_importing_the_packages_loads_nothing_heavy() -> None:
    script = "import importlib, sys\nfor name in sys.argv[2:]: importlib.import_module(f'boostlab.{name}')\n"
    script += "print(*sorted(set(sys.argv[1].split()) & set(sys.modules)))"
    command = [sys.executable, "-c", script, " ".join(HEAVY), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_a_module_changes_no_signal() -> None:
    """Pytest and Sphinx import every module: what they start would inherit an ignored interrupt."""
    script = """
import importlib, pkgutil, signal, boostlab
import papermill  # it loads boostlab.engine
before = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
for module in pkgutil.walk_packages(boostlab.__path__, "boostlab."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        assert before == [signal.getsignal(number) for number in sorted(signal.valid_signals())], module.name
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_names_of_version_0_1_that_others_use_are_still_there() -> None:
    from boostlab.engine import LabEngine
    from boostlab.form import show_form

    assert LabEngine.__mro__[1].__name__ == "NBClientEngine"
    assert show_form is boostlab.show_form
    done = subprocess.run([sys.executable, "-m", "boostlab.serving", "--help"], capture_output=True, text=True, check=True)
    assert "BOOSTLAB_PORT" in done.stdout


def test_the_version_is_that_of_the_installed_distribution() -> None:
    from importlib.metadata import version

    assert boostlab.__version__ == version("boostlab")
