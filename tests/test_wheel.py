"""The package as it is installed elsewhere: all that is beside the code is in it, and no more."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")
"""It is built once."""

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("feeds", "gateway")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
"""What pip would run, with the setuptools that is locked and nothing to download."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, for setuptools writes beside what it builds, and takes up what it wrote before."""
    place = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, place)
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, place / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return place


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked."""
    place = tmp_path_factory.mktemp("wheel")
    words = (sys.executable, "-c", BUILD, str(place))
    done = subprocess.run(words, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (packed,) = place.glob("*.whl")
    with zipfile.ZipFile(packed) as opened:
        opened.extractall(place / "site")
    return place / "site"


def files(place: Path) -> dict[str, bytes]:
    """Of the packages, by their paths: scripts of Lua, the dashboard, `py.typed` and all code."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for package in PACKAGES
        for path in (place / package).rglob("*")
        if path.is_file()
    }


def test_every_file_of_the_packages_is_in_the_wheel_as_it_is(sources: Path, wheel: Path) -> None:
    written, packed = files(sources), files(wheel)
    assert written.keys() ^ packed.keys() == set()
    assert written == packed


def test_the_wheel_has_a_command_a_licence_and_nothing_else(wheel: Path) -> None:
    (about,) = wheel.glob("tickgate-*.dist-info")
    assert {path.name for path in wheel.iterdir()} == {*PACKAGES, about.name}
    assert (about / "entry_points.txt").read_text().split() == [
        "[console_scripts]",
        "tickgate",
        "=",
        "gateway.cli:main",
    ]
    assert (about / "licenses" / "LICENSE").read_text() == (REPOSITORY / "LICENSE").read_text()
