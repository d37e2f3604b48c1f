"""Prepare the file system of the lean image, as root in the first stage of its build: python prepare.py SOURCE_DATE_EPOCH.

The same base image, packages and code give the same files, to the last bit and second: so images share these layers.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

WORK, APP = Path(__file__).parent, Path("/app")
LIB, SBOM, TOOLS = APP / "lib", APP / "sbom.cdx.json", WORK / "tools"
PIP = [sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check"]
UNUSED = ("tests", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.c", "*.a")  # packages hold them for developers
IMPORTS = "import boostlab.serving.server, uvicorn.protocols.http.httptools_impl, uvicorn.loops.uvloop, uvicorn.lifespan.off"


def install_packages() -> None:
    """Install the packages without dependencies, and delete what only developers need, also from their lists of files."""
    options = ["--no-deps", "--no-compile", "--only-binary", ":all:", "--target", str(LIB)]
    subprocess.run([*PIP, "install", *options, "-r", str(WORK / "requirements.txt")], check=True)
    for path in [LIB / "bin", *(path for pattern in UNUSED for path in LIB.rglob(pattern))]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for record in LIB.glob("*.dist-info/RECORD"):
        with record.open(newline="") as file:
            rows = [row for row in csv.reader(file) if (LIB / row[0]).exists()]
        with record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(sorted(rows))


def describe_packages() -> None:
    """Write the software bill of materials of the installed packages, with CycloneDX's own tool."""
    subprocess.run([*PIP, "install", "--target", str(TOOLS), "-r", str(WORK / "tools.txt")], check=True)
    python = WORK / "python"  # the tool asks this interpreter where its packages are
    python.write_text(f'#!/bin/sh\nPYTHONPATH={LIB} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    options = ["-S", "--output-reproducible", "--output-format", "JSON", "--output-file", str(SBOM)]
    command = [sys.executable, "-m", "cyclonedx_py", "environment", *options, str(python)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(TOOLS)}, check=True)


def compile_imports() -> None:
    """Compile the modules that the server imports, those of Python too: a read-only container would do so at each start."""
    same = {"PYTHONPATH": str(LIB), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", IMPORTS], env=os.environ | same, check=True)


def remove_installers() -> None:
    """Remove pip and its parts, and what the build left behind."""
    subprocess.run([*PIP, "uninstall", "--yes", "--quiet", "wheel", "setuptools", "pip"], check=True)
    for path in (Path(sysconfig.get_path("stdlib")) / "ensurepip", WORK, Path("/root/.cache"), *Path("/tmp").iterdir()):  # noqa: S108
        shutil.rmtree(path, ignore_errors=True)


def restrict_rights() -> None:
    """Let any user read the application, and no program become root."""
    for path in walk(Path("/")):
        mode = 0 if path.is_symlink() else path.stat().st_mode
        if path.is_relative_to(APP) and mode:
            path.chmod(0o755 if path.is_dir() else 0o644)
        elif path.is_file() and mode & 0o6000:
            path.chmod(mode & 0o777)


def walk(root: Path) -> list[Path]:
    """Return all files and folders below a folder, and itself, on its file system."""
    device = root.lstat().st_dev
    found = [root]
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if (Path(folder) / name).lstat().st_dev == device]
        found += [Path(folder) / name for name in (*folders, *files)]
    return found


def clamp_times(epoch: int, *, since: float) -> None:
    """Give what was changed, and all of the application, one time."""
    for path in walk(Path("/")):
        if path.is_relative_to(APP) or path.lstat().st_mtime >= since:
            os.utime(path, (epoch, epoch), follow_symlinks=False)


def main() -> None:
    """Install, describe, compile, clean up."""
    os.environ.update({"PYTHONDONTWRITEBYTECODE": "1", "PIP_ROOT_USER_ACTION": "ignore"})
    epoch, marker = int(sys.argv[1]), WORK / "started"
    marker.touch()
    started = marker.stat().st_mtime  # by the clock of the file system
    install_packages()
    describe_packages()
    clamp_times(epoch, since=started)  # compiled files hold the times of their sources
    compile_imports()
    (APP / "python").symlink_to(Path(sys.executable).resolve())
    remove_installers()
    restrict_rights()
    clamp_times(epoch, since=started)


if __name__ == "__main__":
    main()
