"""Builds the distributions, and tests them where no checkout is in sight.

`build` makes the sdists, and each wheel from its sdist alone. `check` installs them into an
environment of their own, from a directory of wheels and no index, and runs the tests from a copy
that lies elsewhere; what it does not know goes to pytest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

import azurite
import machine

ROOT = machine.ROOT

FOLDERS = {
    "batchcore": ROOT,
    "batchcore-azure": ROOT / "backends" / "azure",
    "batchcore-localdocker": ROOT / "backends" / "localdocker",
    "batchcore-slurm": ROOT / "examples" / "plugins" / "batchcore-slurm",
}
EXTRAS = {
    "batchcore": "[azure,docker,http,otel,pandas,testing]",
    "batchcore-azure": "[emulator,fast]",
    "batchcore-slurm": "[test]",
}
PACKAGES = tuple(name.replace("-", "_") for name in FOLDERS)
ALSO = (
    "-r",
    f"{ROOT}/requirements-dev.txt",
    "-r",
    f"{ROOT}/examples/sum_of_powers/requirements.txt",
)

# What the tests need beside themselves.
COPIED = ("backends", "benchmarks", "docs", "examples", "tests", "tools")
# These two are about the sources, not about what is installed.
OF_SOURCES = ("tests/test_architecture.py", "tests/test_packaging.py")


def build(dist: Path) -> None:
    """Build all distributions into a directory; earlier ones in it are removed."""
    dist.mkdir(parents=True, exist_ok=True)
    for earlier in dist.glob("batchcore*"):
        earlier.unlink()
    for name, folder in FOLDERS.items():
        machine.say(f"building {name}")
        with tempfile.TemporaryDirectory() as place:
            _hatch("sdist", folder, Path(place))
            (sdist,) = Path(place).iterdir()
            shutil.copy(sdist, dist)
            shutil.unpack_archive(sdist, place)
            _hatch("wheel", Path(place, sdist.name.removesuffix(".tar.gz")), dist)


def check(dist: Path, arguments: Sequence[str], *, linked: bool) -> int:
    """Install the wheels in a new environment and run the tests there; return pytest's exit code.

    The dependencies are downloaded as wheels before, or `linked` from this Python's environment.
    """
    with tempfile.TemporaryDirectory(prefix="batchcore-release-") as place:
        home = Path(place).resolve()
        python = home / "venv" / "bin" / "python"
        if linked:
            wheels = dist
            _make_linked_environment(home / "venv")
        else:
            wheels = home / "wheelhouse"
            _download(dist, wheels)
            _run([sys.executable, "-m", "venv", str(home / "venv")])
        _install(python, wheels, () if linked else ALSO)
        copy = _copy_tests(home / "tests")
        _see_where_it_is(python, copy, home)
        left_out = [f"--ignore={path}" for path in OF_SOURCES]
        command = [str(python), "-m", "pytest", *left_out, *arguments]
        return subprocess.run(command, cwd=copy, env=_environment(), check=False).returncode


def _hatch(target: str, folder: Path, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory"]
    _run([*command, str(out)], folder)


def _download(dist: Path, wheels: Path) -> None:
    """Put our wheels and those of all that they and the tests need into one directory."""
    machine.say("downloading what the distributions and their tests need")
    # Files, not names: an index might know another project by one of our names. Without extras
    # too, or pip asks the index for what another of the files wants.
    ours = [str(_wheel(dist, name)) for name in FOLDERS]
    more = [f"{_wheel(dist, name)}{extras}" for name, extras in EXTRAS.items()]
    _run([*_pip(sys.executable), "wheel", "--wheel-dir", str(wheels), *ours, *more, *ALSO])


def _wheel(dist: Path, name: str) -> Path:
    found = list(dist.resolve().glob(f"{name.replace('-', '_')}-*.whl"))
    if len(found) != 1:
        raise machine.SetupError(f"{len(found)} wheels of {name} in {dist}; type `make dist`")
    return found[0]


def _make_linked_environment(place: Path) -> None:
    """Make an environment with all that this Python has installed, except batchcore.

    No .pth file is taken over, so an editable installation is not in sight; nor are commands, so
    this is for tests that run none of ruff, mypy and their like.
    """
    venv.EnvBuilder(symlinks=True).create(place)
    base = {"base": str(place), "platbase": str(place)}
    for kind in ("purelib", "platlib"):
        target = Path(sysconfig.get_path(kind, "venv", base))
        for entry in Path(sysconfig.get_path(kind)).iterdir():
            link = target / entry.name
            ours = "batchcore" in entry.name or entry.suffix == ".pth"
            if not ours and not link.exists():
                link.symlink_to(entry)


def _install(python: Path, wheels: Path, also: Sequence[str]) -> None:
    machine.say("installing the wheels without an index")
    names = [f"{name}{EXTRAS.get(name, '')}" for name in FOLDERS]
    source = ["--no-index", "--find-links", str(wheels)]
    _run([*_pip(str(python)), "install", *source, *names, *also])
    _run([*_pip(str(python)), "check"])


def _copy_tests(place: Path) -> Path:
    skipped = shutil.ignore_patterns(*PACKAGES, "__pycache__", ".batchcore")
    place.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name, ignore=skipped)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, place)
    return place


def _see_where_it_is(python: Path, cwd: Path, home: Path) -> None:
    code = f"import {', '.join(PACKAGES)}\nfor m in ({', '.join(PACKAGES)}): print(m.__file__)"
    for line in _run([str(python), "-c", code], cwd).splitlines():
        if not Path(line).is_relative_to(home / "venv"):
            raise machine.SetupError(f"the tests would see {line}, which is not the installed one")


def _pip(python: str) -> list[str]:
    return [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def _environment() -> dict[str, str]:
    """Return the variables without those that lead to another Python's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = azurite.target() / "node_modules" / ".bin" / "azurite-blob"
    return {azurite.VARIABLE: str(program), **kept} if program.exists() else kept


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise machine.SetupError(f"{' '.join(command[1:5])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Read the command line and do it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("what", choices=("build", "check"))
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where they are")
    parser.add_argument("--linked", action="store_true", help="download no dependency")
    options, arguments = parser.parse_known_args()
    if options.what == "check":
        return check(options.dist, arguments, linked=options.linked)
    build(options.dist)
    print(*sorted(path.name for path in options.dist.glob("batchcore*")), sep="\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except machine.SetupError as error:
        sys.exit(f"release: {error}")
