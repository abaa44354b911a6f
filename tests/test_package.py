"""What users install: the wheel holds everything, and migrates a database by itself."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import waitctl

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command away from the checkout, so that nothing of it is on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build(kind: str, folder: Path) -> Path:
    """Build as pip would, without the network: the backend is a dependency of development."""
    run(sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder, cwd=ROOT)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def files_below(folder: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_its_migrations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
    migrations = {f"waitctl/{name}" for name in files_below("alembic")} | {"waitctl/alembic.ini"}
    assert any(name.startswith("waitctl/alembic/versions/0001") for name in migrations)
    assert "waitctl/py.typed" in names
    assert names == files_below("waitctl") | migrations


def test_the_wheel_holds_what_users_copy_and_the_man_page(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".data/data/")[2] for name in archive.namelist() if ".data/" in name}
        modes = {Path(each.filename).name: each.external_attr >> 16 for each in archive.infolist()}
    copied = {"crontab.example"} | files_below("examples") | files_below("systemd")
    assert names == {f"share/waitctl/{name}" for name in copied} | {"share/man/man1/waitctl.1"}
    assert modes["nurture.sh"] & 0o111, "a script stays one"


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
        entry_points = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
        licence = archive.read(name.replace("METADATA", "licenses/LICENSE")).decode()
    assert metadata["Version"] == waitctl.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in licence
    assert "waitctl = waitctl.__main__:main" in entry_points


def test_the_source_distribution_can_be_tested_and_built_from(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = files_below("waitctl") | files_below("alembic") | files_below("systemd")
    assert wanted | {"alembic.ini", "pyproject.toml", "Makefile", "LICENSE", "requirements-dev.txt"} <= names
    assert {"tests/conftest.py", ".ci/run", ".github/workflows/ci.yml", "CONTRIBUTING.md"} <= names


def test_an_installed_wheel_migrates_a_database(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        site,
        wheel,
        cwd=tmp_path,
    )
    # The libraries are the ones that run this test. They come after the wheel, and an editable waitctl among them is a
    # .pth file, which a path named in a .pth file does not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")

    found = run(python, "-c", "import waitctl; print(waitctl.__file__)", cwd=tmp_path).strip()
    assert Path(found).is_relative_to(site)
    file = tmp_path / "waits.db"
    command = site / "bin" / "waitctl"  # where pip puts the scripts of a --target
    run(python, command, "--database-url", f"sqlite:///{file}", "db", "upgrade", cwd=tmp_path)
    connection = sqlite3.connect(file)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    assert {"workflow_wait_executions", "workflow_event_listeners"} <= tables


def test_all_that_can_be_imported_is_listed() -> None:
    """What loads when it is asked for is in `dir` before: a shell's Tab, and whoever explores."""
    found = run(sys.executable, "-c", "import waitctl; print(*dir(waitctl))", cwd=ROOT).split()
    assert {*waitctl.__all__, "__version__"} <= {*found}
    assert all(getattr(waitctl, name) for name in waitctl.__all__)


def test_ci_runs_the_oldest_and_the_newest_of_what_is_supported() -> None:
    """Python by the package's classifiers and the Makefile, PostgreSQL by README's promise."""
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r"^SUPPORTED := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE) == [" ".join(versions)]
    promised = re.search(r"PostgreSQL (\d+) to (\d+)", (ROOT / "README.md").read_text())
    assert promised is not None
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert f'python: ["{versions[0]}", "{versions[-1]}"]\n' in workflow
    assert f'postgres: ["{promised[1]}", "{promised[2]}"]\n' in workflow
    assert "run: .ci/run\n" in workflow
