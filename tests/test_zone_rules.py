"""One tz database: of the system's and the packaged one the newer, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from tzdata import IANA_VERSION

PROGRAM = """
import json
from waitctl import WaitSchedulingService, WaitSpec
from waitctl.infrastructure.zone_rules import use_newest

service = WaitSchedulingService("sqlite:///waits.db")
found = []
for zone in ("Asia/Tokyo", "Asia/Seoul"):
    wait = service.create_until_date_wait("2099-01-10 09:00", WaitSpec(zone, timezone=zone), dry_run=True).wait
    found.append([wait.scheduled_at.isoformat(), wait.wait_config.get("tzdata")])
print(json.dumps({"found": found, "versions": [rules.version for rules in use_newest()]}))
"""

TOKYO, BERLIN, SEOUL = "2099-01-10T00:00:00+00:00", "2099-01-10T08:00:00+00:00", "2099-01-10T00:00:00+00:00"


def resolved(tmp_path: Path, tzpath: str) -> tuple[list[list[str | None]], list[str | None]]:
    environment = os.environ | {"PYTHONTZPATH": tzpath}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    answer = json.loads(done.stdout)
    return answer["found"], answer["versions"]


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system's zone files, of which Tokyo's tell Berlin's time, and that do not know Seoul."""
    folder = tmp_path / "zoneinfo"
    (folder / "Asia").mkdir(parents=True)
    shutil.copyfile(str(files("tzdata").joinpath("zoneinfo/Europe/Berlin")), folder / "Asia/Tokyo")
    return folder


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [("tzdata.zi", "# version 2999a\n# This zic input file", "2999a"), ("+VERSION", "2999b\n", "2999b")],
)
def test_newer_rules_of_the_system_are_used(tmp_path: Path, system: Path, name: str, says: str, version: str) -> None:
    (system / name).write_text(says)
    found, versions = resolved(tmp_path, str(system))
    assert found == [[BERLIN, version], [SEOUL, IANA_VERSION]]  # what the newer lack is in the others, which are named
    assert versions == [version, IANA_VERSION]


@pytest.mark.parametrize("says", [None, "", "# version 1999a\n", "\xff\n"])
def test_older_rules_of_the_system_are_not_used(tmp_path: Path, system: Path, says: str | None) -> None:
    if says is not None:
        (system / "tzdata.zi").write_text(says, encoding="latin-1")
    found, versions = resolved(tmp_path, str(system))
    assert found == [[TOKYO, IANA_VERSION], [SEOUL, IANA_VERSION]]
    assert versions == [IANA_VERSION, "1999a" if says and "1999a" in says else None]


def test_rules_of_the_same_version_are_the_systems(tmp_path: Path, system: Path) -> None:
    (system / "tzdata.zi").write_text(f"# version {IANA_VERSION}\n")
    assert resolved(tmp_path, str(system))[0] == [[BERLIN, IANA_VERSION], [SEOUL, IANA_VERSION]]


@pytest.mark.parametrize("tzpath", ["", "/nowhere"])
def test_packaged_rules_alone(tmp_path: Path, tzpath: str) -> None:
    found, versions = resolved(tmp_path, tzpath)
    assert found == [[TOKYO, IANA_VERSION], [SEOUL, IANA_VERSION]]
    assert versions == [IANA_VERSION]


@pytest.mark.parametrize("given", [None, "", "/usr/share/zoneinfo:relative:/etc/zoneinfo"])
def test_the_system_s_folders_are_those_that_python_and_whenever_look_in(given: str | None) -> None:
    program = "from whenever import get_tzpath; from waitctl.infrastructure.zone_rules import _of_the_system as ours;"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONTZPATH"}
    environment |= {} if given is None else {"PYTHONTZPATH": given}
    compared = f"{program} assert tuple(map(str, ours())) == tuple(get_tzpath()), (ours(), get_tzpath())"
    subprocess.run([sys.executable, "-W", "ignore", "-c", compared], env=environment, check=True, timeout=60)
