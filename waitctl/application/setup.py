"""What makes an installation tick: a config file, a crontab line or units, all on one database.

Nothing that is there already is changed. Whoever ticks names the config file and the program by their whole paths: cron
and systemd know nothing of a shell's variables.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.values import dataclass
from waitctl.infrastructure.config import default_database_url, load_settings
from waitctl.infrastructure.database_url import parse_url
from waitctl.infrastructure.new_files import new_file
from waitctl.infrastructure.user_folders import config_folder, make_folder, unit_folder

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

_CONFIG = """\
# waitctl's config file: `waitctl help config` says what may stand here, `waitctl config check` whether it is right.

# The database, the same for your shell and for whatever ticks. An SQLite file is made by the first wait or event.
database_url = {database_url}

# The zone of waits that name none; left out, UTC.
# timezone = "Europe/Berlin"

# What runs when a wait has ended: waitctl create … --handler nudge. It gets the wait as JSON on its standard input.
# [handlers.nudge]
# exec = ["/usr/local/bin/nudge.sh"]
# timeout = "30s"
# max_attempts = 8
"""

_SERVICE = """\
# Made by `waitctl init --systemd`: one bounded run of waitctl's processor, started by waitctl-tick.timer.

[Unit]
Description=Resume the waits that are due
Documentation=man:waitctl(1)

[Service]
Type=oneshot
ExecStart={program} tick
{environment}
UMask=0077

# A run stops claiming after 50 seconds and waits for the commands in hand, each up to its own timeout (30 seconds
# unless the config says more): raise this with them. On SIGTERM only waitctl is asked to end.
TimeoutStartSec=10min
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=2min
"""

_TIMER = """\
# Made by `waitctl init --systemd`: starts waitctl-tick.service at the top of every minute.

[Unit]
Description=Resume the waits that are due, every minute
Documentation=man:waitctl(1)

[Timer]
OnCalendar=*-*-* *:*:00
AccuracySec=1s
Persistent=true
Unit=waitctl-tick.service

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """The paths of this installation, and which database it is on."""

    program: tuple[str, ...]
    """How waitctl is called: its path, or that of Python with ``-m waitctl``."""
    config_file: Path
    database_url: str
    in_config: bool
    """Whether the config file names this database, or will once it is made."""

    @property
    def is_missing(self) -> bool:
        """Whether the database is a file that is not there yet."""
        parsed = parse_url(self.database_url)
        return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists()

    @property
    def config_text(self) -> str:
        """A config file with comments."""
        return _CONFIG.format(database_url=_toml_text(self._url_to_write()))

    @property
    def crontab_line(self) -> str:
        """A run every minute. In a crontab a % ends the command, unless it is escaped."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self._environment().items()]
        command = " ".join([*words, shlex.join(self.program), "tick -q"])
        return f"* * * * * {command}".replace("%", r"\%")

    @property
    def units(self) -> dict[str, str]:
        """Units of systemd that run as whoever makes them, by name."""
        environment = "\n".join(
            f"Environment={_unit_word(f'{name}={value}')}" for name, value in self._environment().items()
        )
        program = " ".join(_unit_word(word).replace("$", "$$") for word in self.program)
        return {
            "waitctl-tick.service": _SERVICE.format(program=program, environment=environment),
            "waitctl-tick.timer": _TIMER,
        }

    def _environment(self) -> dict[str, str]:
        """What a run needs: the config, the database if that does not name it, and where handlers find programs."""
        bin_folder = Path(self.program[0]).parent
        named = {} if self.in_config else {"WAITCTL_DATABASE_URL": self._url_to_write()}
        folders = dict.fromkeys([str(bin_folder), *SYSTEM_PATH.split(":")])
        return {"PATH": ":".join(folders), "WAITCTL_CONFIG": str(self.config_file), **named}

    def _url_to_write(self) -> str:
        """The URL. Raises `InvalidSettingError` when it holds a password, which others could read then."""
        if parse_url(self.database_url).password is not None:
            raise InvalidSettingError(
                "the database's URL holds a password, and would be copied with it",
                hint="put the password into ~/.pgpass, or the URL into the config file as database_url",
            )
        return self.database_url


def find_setup(
    *, database_url: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Setup:
    """Look at this installation. The arguments are the flags; a config file that is named need not be there yet.

    Raises `InvalidSettingError` for settings that are not understood.
    """
    environ = os.environ if environ is None else environ
    named = config or environ.get("WAITCTL_CONFIG")
    file = (Path(named) if named else config_folder() / "config.toml").absolute()
    asked = database_url or environ.get("WAITCTL_DATABASE_URL")
    if not file.is_file():
        return Setup(_program(), file, _absolute(asked or default_database_url()), in_config=True)
    settings = load_settings(database_url=database_url, config=str(file), environ=environ)
    of_file = load_settings(
        config=str(file), environ={name: value for name, value in environ.items() if name != "WAITCTL_DATABASE_URL"}
    )
    in_file = of_file.names_database and settings.database_url == of_file.database_url
    return Setup(_program(), file, _absolute(settings.database_url), in_config=in_file)


def write_new(path: Path, text: str) -> bool:
    """Make a file of this user's alone; False when there is one already, which stays. Raises `OSError`."""
    make_folder(path.parent)
    try:
        with new_file(path) as (_, descriptor):
            os.write(descriptor, text.encode())
    except FileExistsError:
        return False
    return True


def add_to_crontab(setup: Setup) -> str | None:
    """Append the line to this user's crontab, unless that ticks already: then by which line, and nothing is changed.

    Raises `InvalidSettingError` where there is no cron, or it takes no table of this user's.
    """
    listed = _crontab("-l")
    present = listed.stdout if listed.returncode == 0 else ""  # without a table -l fails
    jobs = [line for line in present.splitlines() if not line.lstrip().startswith("#")]
    if ticking := [line for line in jobs if "waitctl" in line and " tick" in line]:
        return setup.crontab_line if setup.crontab_line in ticking else ticking[0]
    begun = present if not present or present.endswith("\n") else f"{present}\n"
    taken = _crontab("-", f"{begun}# made by waitctl init --cron: every minute, what is due\n{setup.crontab_line}\n")
    if taken.returncode != 0:
        raise InvalidSettingError(f"crontab refuses it: {taken.stderr.strip()}", hint=_PRINT)
    return None


_PRINT = "waitctl init --cron --print prints the line"


def require_crontab() -> str:
    """The program that keeps crontabs. Raises `InvalidSettingError` where there is none."""
    program = shutil.which("crontab")
    if program is None:
        raise InvalidSettingError("there is no crontab on this host", hint=f"{_PRINT}; --systemd makes units")
    return program


def _crontab(argument: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require_crontab(), argument], input=text or "", capture_output=True, text=True, check=False)


def units_folder() -> Path:
    """Where this user's units belong; root's are the system's."""
    return Path("/etc/systemd/system") if os.geteuid() == 0 else unit_folder()


def examples_folder() -> Path | None:
    """Where the examples, crontab and units of this installation are."""
    installed, checkout = Path(sys.prefix) / "share" / "waitctl", Path(__file__).parents[2]
    return next((folder for folder in (installed, checkout) if (folder / "crontab.example").is_file()), None)


def _program() -> tuple[str, ...]:
    called = Path(sys.argv[0])
    if called.name == "waitctl" and (found := shutil.which(called)) is not None:
        return (str(Path(found).absolute()),)
    found = shutil.which("waitctl")
    return (str(Path(found).absolute()),) if found else (sys.executable, "-m", "waitctl")


def _absolute(url: str) -> str:
    """The URL, an SQLite file by its whole path: what ticks stands in another folder."""
    parsed = parse_url(url)
    file = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or file.startswith("file:") or Path(file).is_absolute():
        return url
    return f"sqlite:///{Path(file).absolute()}"


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unit_word(text: str) -> str:
    """A word of a unit file; % and quotes mean something there."""
    return _toml_text(text).replace("%", "%%")
