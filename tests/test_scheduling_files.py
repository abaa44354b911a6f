"""crontab.example and the systemd units are what cron and systemd take for right.

Their own parsers judge where the machine has them; ours, which need nothing, judge everywhere.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CRONTAB = ROOT / "crontab.example"
SERVICE = ROOT / "systemd" / "waitctl-tick.service"
TIMER = ROOT / "systemd" / "waitctl-tick.timer"
WATCH = ROOT / "systemd" / "waitctl-watch.service"

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


# -- cron --------------------------------------------------------------------------------------------------------------


def parse_crontab(text: str) -> tuple[dict[str, str], list[tuple[list[str], str]]]:
    """The environment and the jobs of a crontab; ValueError for what a strict cron would refuse."""
    if not text.endswith("\n"):
        raise ValueError("cron drops a last line that has no end")
    environment: dict[str, str] = {}
    jobs: list[tuple[list[str], str]] = []
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if setting := re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", line):
            environment[setting[1]] = setting[2]
            continue
        *fields, command = line.split(None, len(FIELDS))
        if len(fields) != len(FIELDS):
            raise ValueError(f"neither a setting nor a job: {line}")
        for field, (name, least, most) in zip(fields, FIELDS, strict=True):
            _check_field(field, name, least, most)
        if re.search(r"(?<!\\)%", command):
            raise ValueError(f"a bare % ends the command: {command}")
        jobs.append((fields, command))
    return environment, jobs


def _check_field(field: str, name: str, least: int, most: int) -> None:
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        numbers = [int(number) for number in found.group(1, 2) if number] if found else []
        if (
            not found
            or any(not least <= number <= most for number in numbers)
            or numbers != sorted(numbers)
            or found[3] == "0"
        ):
            raise ValueError(f"bad {name}: {field}")


def crontab_checker() -> list[str]:
    """How this machine's own crontab checks a file without installing it; empty where it cannot.

    cronie has -T; to Debian's cron -n is a dry run (which to cronie is another thing entirely).
    """
    crontab = shutil.which("crontab")
    if crontab is None:
        return []
    usage = subprocess.run([crontab, "-h"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    words = usage.stdout + usage.stderr
    if re.search(r"^\s*-T\b", words, re.MULTILINE):
        return [crontab, "-T"]
    return [crontab, "-n"] if "[-n] file" in words else []


def test_the_crontab_runs_a_quiet_tick_every_minute() -> None:
    environment, jobs = parse_crontab(CRONTAB.read_text())
    assert jobs == [(["*"] * 5, "waitctl tick -q")]
    assert all(folder.startswith("/") for folder in environment["PATH"].split(":"))
    assert environment["WAITCTL_DATABASE_URL"].startswith("sqlite:////")


@pytest.mark.parametrize(
    "text",
    [
        "* * * * waitctl\n",
        "60 * * * * waitctl tick\n",
        "* 24 * * * waitctl tick\n",
        "* * 0 * * waitctl tick\n",
        "* * * 13 * waitctl tick\n",
        "* * * * 8 waitctl tick\n",
        "*/0 * * * * waitctl tick\n",
        "9-5 * * * * waitctl tick\n",
        "every minute run waitctl tick\n",
        "* * * * * date +%F\n",
        "* * * * * waitctl tick",
    ],
)
def test_our_parser_refuses_what_cron_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad|neither|bare|end"):
        parse_crontab(text)


def test_the_machines_own_crontab_takes_it(tmp_path: Path) -> None:
    checker = crontab_checker()
    if not checker:
        return
    broken = tmp_path / "broken"
    broken.write_text("99 * * * * waitctl tick\n")
    taken, refused = (
        subprocess.run([*checker, file], capture_output=True, text=True, check=False) for file in (CRONTAB, broken)
    )
    if "not allowed" in taken.stderr:  # cron.allow keeps this user from cron altogether
        return
    assert taken.returncode == 0, taken.stderr
    assert refused.returncode != 0


# -- systemd -----------------------------------------------------------------------------------------------------------


class Unit(configparser.ConfigParser):
    """A unit file: its keys have capitals, % means something else, and a list may go on in another line."""

    def __init__(self) -> None:
        super().__init__(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"), strict=False)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_unit(path: Path) -> Unit:
    unit = Unit()
    unit.read_string(path.read_text())
    keys = [line.partition("=")[0] for line in path.read_text().splitlines() if line and line[0] not in "#["]
    assert len({*keys}) == len(keys) - keys.count("SystemCallFilter") // 2, "every other key stands once"
    return unit


def seconds(span: str) -> int:
    found = re.fullmatch(r"(\d+)(s|min)", span)
    assert found
    return int(found[1]) * {"s": 1, "min": 60}[found[2]]


def test_the_service_is_one_bounded_run_that_can_be_stopped() -> None:
    service = read_unit(SERVICE)["Service"]
    assert service["Type"] == "oneshot"
    assert service["ExecStart"].split() == ["/usr/local/bin/waitctl", "tick"]
    assert service["EnvironmentFile"] == "-/etc/waitctl/environment"
    assert service["Environment"].startswith("WAITCTL_DATABASE_URL=sqlite:////var/lib/waitctl/")
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert service["NoNewPrivileges"] == "yes"
    budget, command = 50, 30
    assert seconds(service["TimeoutStartSec"]) > budget + command
    assert seconds(service["TimeoutStopSec"]) > command


def test_the_resident_service_is_watched_and_can_be_stopped() -> None:
    service, tick = read_unit(WATCH)["Service"], read_unit(SERVICE)["Service"]
    assert (service["Type"], service["ExecStart"].split()[1:]) == ("notify", ["tick", "--watch"])
    assert seconds(service["WatchdogSec"] + "s") > 2 * 5  # the interval between two rounds
    assert (service["Restart"], "TimeoutStartSec" in service) == ("on-failure", False)
    same = {"User", "Environment", "EnvironmentFile", "KillSignal", "KillMode", "TimeoutStopSec", "NoNewPrivileges"}
    assert {key: service[key] for key in same} == {key: tick[key] for key in same}


def confinement(path: Path) -> list[str]:
    """Its lines from the first rule on: what both services have in common."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    end = lines.index("[Install]") if "[Install]" in lines else len(lines)
    return lines[lines.index("NoNewPrivileges=yes") : end]


def test_handlers_keep_their_network_their_folder_and_their_runtimes() -> None:
    assert confinement(SERVICE) == confinement(WATCH)
    rules = dict(line.split("=", 1) for line in confinement(SERVICE))
    assert not {"PrivateNetwork", "IPAddressDeny", "MemoryDenyWriteExecute"} & set(rules)
    assert rules["ProtectSystem"] == "strict" and read_unit(SERVICE)["Service"]["StateDirectory"] == "waitctl"
    assert rules["SystemCallErrorNumber"] == "EPERM", "what is refused is told, and kills nobody"


@pytest.mark.parametrize("unit", [SERVICE, WATCH])
def test_systemd_finds_little_exposed(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True, check=False
    )
    if "unrecognized option" in done.stderr:  # systemd before 250
        return
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 2.0


def test_the_timer_fires_at_every_minute_and_starts_the_service() -> None:
    unit = read_unit(TIMER)
    timer = unit["Timer"]
    assert (timer["OnCalendar"], timer["AccuracySec"], timer["Persistent"]) == ("*-*-* *:*:00", "1s", "true")
    assert timer["Unit"] == SERVICE.name
    assert "time-sync.target" in unit["Unit"]["After"].split()
    assert unit["Install"]["WantedBy"] == "timers.target"


def test_systemds_own_parser_takes_them(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return

    def verify(*replaced: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        for source in (SERVICE, TIMER, WATCH):
            text = source.read_text()
            # It asks that the program exists, which only an installation makes true.
            for old, new in (("/usr/local/bin/waitctl", sys.executable), *replaced):
                text = text.replace(old, new)
            (tmp_path / source.name).write_text(text)
        return subprocess.run(
            [analyze, "verify", "--man=no", *(tmp_path / source.name for source in (SERVICE, TIMER, WATCH))],
            capture_output=True,
            text=True,
            check=False,
        )

    def complaints(result: subprocess.CompletedProcess[str]) -> list[str]:
        return [line for line in result.stderr.splitlines() if "waitctl-" in line]

    taken = verify()
    assert complaints(taken) == []
    # An unknown key is only warned of, so what it says counts and not its exit status alone.
    assert complaints(verify(("OnCalendar=*-*-* *:*:00", "OnCalendar=every minute")))
    assert complaints(verify(("KillMode=mixed", "KillMood=mixed")))
