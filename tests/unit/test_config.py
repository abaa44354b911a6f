"""Settings: flag > environment > config file > default, and errors that name the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.errors import InvalidSettingError, InvalidTimezoneError, InvalidWaitDateError
from waitctl.infrastructure.config import HandlerConfig, load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_flag_beats_environment_beats_file_beats_default(config: Path, tmp_path: Path) -> None:
    default = load_settings(environ={})
    assert default.database_url == f"sqlite:///{tmp_path}/xdg_data_home/waitctl/waitctl.db"
    assert (default.timezone, default.config_file, default.as_of, dict(default.handlers)) == ("UTC", None, None, {})

    config.write_text('database_url = "sqlite:///file.db"\ntimezone = "Europe/Berlin"')
    from_file = load_settings(config=str(config), environ={})
    assert (from_file.database_url, from_file.timezone) == ("sqlite:///file.db", "Europe/Berlin")

    environ = {
        "WAITCTL_CONFIG": str(config),
        "WAITCTL_DATABASE_URL": "sqlite:///env.db",
        "WAITCTL_TIMEZONE": "Asia/Tokyo",
        "WAITCTL_AS_OF": "2026-03-01T12:00:00Z",
    }
    from_environment = load_settings(environ=environ)
    assert (from_environment.database_url, from_environment.timezone) == ("sqlite:///env.db", "Asia/Tokyo")
    assert from_environment.config_file == config
    assert from_environment.as_of == datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert load_settings(database_url="sqlite:///flag.db", environ=environ).database_url == "sqlite:///flag.db"


def test_config_flag_beats_the_environments(config: Path, tmp_path: Path) -> None:
    config.write_text('timezone = "Asia/Tokyo"')
    environ = {"WAITCTL_CONFIG": str(tmp_path / "missing.toml")}
    assert load_settings(config=str(config), environ=environ).timezone == "Asia/Tokyo"
    with pytest.raises(InvalidSettingError, match=r"missing\.toml"):
        load_settings(environ=environ)


def test_file_in_the_users_config_directory_is_found(tmp_path: Path) -> None:
    file = tmp_path / "xdg_config_home" / "waitctl" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('timezone = "Asia/Tokyo"')
    settings = load_settings(environ={})
    assert (settings.timezone, settings.config_file) == ("Asia/Tokyo", file)


def test_handlers(config: Path) -> None:
    config.write_text(
        """
        [handlers.nudge]
        exec = ["/usr/local/bin/nudge.sh", "--fast"]
        timeout = "90s"
        max_attempts = 3
        backoff = "1m"
        max_backoff = "2h"
        concurrency = 2

        [handlers."plain one"]
        exec = ["true"]
        """
    )
    handlers = load_settings(config=str(config), environ={}).handlers
    assert handlers == {
        "nudge": HandlerConfig(
            "nudge",
            ("/usr/local/bin/nudge.sh", "--fast"),
            timedelta(seconds=90),
            2,
            RetryPolicy(3, timedelta(minutes=1), timedelta(hours=2)),
        ),
        "plain one": HandlerConfig("plain one", ("true",)),
    }
    assert handlers["plain one"].retry == RetryPolicy(8, timedelta(seconds=10), timedelta(hours=1))


HANDLER = "[handlers.nudge]\nexec = ['true']\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timezon = 'UTC'", "unknown key 'timezon'"),
        (HANDLER + "timeuot = '3s'", "unknown key 'handlers.nudge.timeuot'"),
        ("[servers]", "unknown key 'servers'"),
        ("timezone = 3", "timezone: "),
        ("timezone = 'GMT+2'", "timezone: 'GMT[+]2' is not a time zone"),
        ("timezone = ''", "timezone: "),
        ("database_url = ''", "database_url: "),
        ("database_url = ['x']", "database_url: "),
        ("handlers = 3", "handlers: "),
        ("[handlers.nudge]", "handlers.nudge.exec: "),
        ("[handlers.nudge]\nexec = 'true'", "handlers.nudge.exec: "),
        ("[handlers.nudge]\nexec = []", "handlers.nudge.exec: "),
        ("[handlers.nudge]\nexec = ['']", "handlers.nudge.exec.0: "),
        ('[handlers.nudge]\nexec = ["a\\u0000"]', "handlers.nudge.exec.0: "),
        ("[handlers.nudge]\nexec = [1]", "handlers.nudge.exec.0: "),
        (HANDLER + "timeout = 30", 'handlers.nudge.timeout: write a duration in quotes, as in "30s"'),
        (HANDLER + "timeout = '0s'", "handlers.nudge.timeout: a duration is more than zero"),
        (HANDLER + "backoff = 'soon'", "handlers.nudge.backoff: 'soon' is not a duration"),
        (HANDLER + "max_attempts = 0", "handlers.nudge.max_attempts: "),
        (HANDLER + "max_attempts = '3'", "handlers.nudge.max_attempts: "),
        (HANDLER + "max_attempts = 3.0", "handlers.nudge.max_attempts: "),
        (HANDLER + "max_attempts = true", "handlers.nudge.max_attempts: "),
        (HANDLER + "concurrency = 0", "handlers.nudge.concurrency: "),
        (HANDLER + "concurrency = 257", "handlers.nudge.concurrency: "),
        ("timezone = ", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidSettingError, match=says) as caught:
        load_settings(config=str(config), environ={})
    assert str(config) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = '\xe9'"])
def test_file_that_is_no_text(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(InvalidSettingError, match="cannot read"):
        load_settings(config=str(config), environ={})


def test_folder_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="no config file"):
        load_settings(config=str(tmp_path), environ={})


def test_environment_is_checked_too() -> None:
    with pytest.raises(InvalidTimezoneError):
        load_settings(environ={"WAITCTL_TIMEZONE": "GMT+2"})
    with pytest.raises(InvalidWaitDateError, match="WAITCTL_AS_OF"):
        load_settings(environ={"WAITCTL_AS_OF": "yesterday"})
