"""What `make package` makes, put into empty environments, away from the checkout."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from bridge import __version__, jpeg

ROOT = Path(__file__).parents[3]
BUILD = [sys.executable, "-m", "build", "--outdir"]
WHEEL = f"esp32cam2mqtt-{__version__}-py3-none-any.whl"


class Environment:
    """A virtual environment, and an empty folder to be in."""

    def __init__(self, folder: Path, package: str) -> None:
        venv.create(folder / "venv", with_pip=True)
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        self._bin = folder / "venv/bin"
        installed = self.run("python", "-m", "pip", "install", "--quiet", package)
        assert installed.returncode == 0, installed.stderr

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, with no other in reach of it."""
        return subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the bridge's command line."""
        return self.run("esp32cam2mqtt", *arguments)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both; the wheel is made of the other one, as `build` does it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([*BUILD, str(folder), str(ROOT)], check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def plain(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel alone."""
    return Environment(tmp_path_factory.mktemp("plain"), str(packages / WHEEL))


@pytest.fixture(scope="module")
def with_demo(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with what the demo needs."""
    return Environment(tmp_path_factory.mktemp("demo"), f"{packages / WHEEL}[demo]")


def test_the_wheel_has_the_package_and_the_licence_and_nothing_else(packages: Path) -> None:
    names = zipfile.ZipFile(packages / WHEEL).namelist()
    about = f"esp32cam2mqtt-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"bridge", about}
    assert {f"{about}/licenses/LICENSE", "bridge/py.typed"} <= set(names)
    sources = {str(path.relative_to(ROOT)) for path in ROOT.glob("bridge/**/*.py")}
    assert sources <= set(names)


def test_the_wheel_tells_a_registry_what_it_is(packages: Path) -> None:
    wheel = zipfile.ZipFile(packages / WHEEL)
    metadata = wheel.read(f"esp32cam2mqtt-{__version__}.dist-info/METADATA").decode()
    head, _, description = metadata.partition("\n\n")
    assert {"License-Expression: MIT", "Requires-Python: >=3.11"} <= set(head.splitlines())
    assert description.strip() == (ROOT / "README.md").read_text().strip()


def test_the_sources_can_be_built_by_whoever_packs_them(packages: Path, tmp_path: Path) -> None:
    with tarfile.open(packages / f"esp32cam2mqtt-{__version__}.tar.gz") as sources:
        sources.extractall(tmp_path, filter="data")
    folder = tmp_path / f"esp32cam2mqtt-{__version__}"
    subprocess.run([*BUILD, str(tmp_path), "--wheel", str(folder)], check=True, capture_output=True)
    made, again = (zipfile.ZipFile(path / WHEEL) for path in (packages, tmp_path))
    assert {i.filename: i.CRC for i in made.infolist()} == {
        i.filename: i.CRC for i in again.infolist()
    }


def test_it_is_the_wheel_that_runs_and_not_a_checkout(plain: Environment) -> None:
    where = plain.run("python", "-c", "import bridge; print(bridge.__file__)").stdout
    assert Path(where).is_relative_to(plain.folder.parent / "venv")
    assert plain.command("--version").stdout == f"esp32cam2mqtt {__version__}\n"


def test_without_extras_the_bridge_is_complete(plain: Environment) -> None:
    (plain.folder / "config.yaml").write_text("cameras: {door: {url: ws://192.0.2.1:81}}\n")
    checked = plain.command("check")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"), [(("demo", "--once"), "demo"), (("find",), "find")]
)
def test_a_command_says_which_extra_it_misses(
    plain: Environment, arguments: tuple[str, ...], extra: str
) -> None:
    done = plain.command(*arguments)
    assert done.returncode == 2, done.stderr
    assert f"pip install 'esp32cam2mqtt[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_takes_a_picture(with_demo: Environment) -> None:
    done = with_demo.command("demo", "--once")
    assert done.returncode == 0, done.stderr
    latest = with_demo.folder / "captures/porch/latest.jpg"
    assert jpeg.parse(latest.read_bytes()).width > 0
