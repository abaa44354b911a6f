"""Settings: flag > environment > config file > default, and errors that name the key."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.errors import (
    InvalidSettingError,
    InvalidTimezoneError,
    InvalidWaitDateError,
    MissingCredentialError,
)
from waitctl.domain.handlers import ExecConfig, HandlerConfig, NotifyConfig, PythonConfig, WebhookConfig
from waitctl.domain.hours import parse_hours
from waitctl.infrastructure.config import CalendarConfig, load_settings
from waitctl.infrastructure.config_report import report_config


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
            ExecConfig(("/usr/local/bin/nudge.sh", "--fast")),
            timedelta(seconds=90),
            2,
            RetryPolicy(3, timedelta(minutes=1), timedelta(hours=2)),
        ),
        "plain one": HandlerConfig("plain one", ExecConfig(("true",))),
    }
    assert handlers["plain one"].retry == RetryPolicy(8, timedelta(seconds=10), timedelta(hours=1))


def test_calendars(config: Path) -> None:
    config.write_text(
        """
        late_tolerance = "90s"

        [calendars.company]
        base = "DE-BY"
        removed = [2026-01-06]
        work_week = "mon-thu"
        hours = "mon-thu 09:00-12:00,13:00-17:00"
        zone = "Europe/Berlin"
        [calendars.company.extra]
        2026-12-24 = "Christmas Eve"
        "2026-12-31" = "New Year's Eve"

        [calendars."night shift"]
        extra = [2026-12-24, "2026-12-31"]
        work_week = ["fri-sun", "wed"]
        hours = { fri-sun = ["22:00-06:00", "12:00-13:00"], wed = "22:00-06:00" }

        [calendars.list]
        hours = ["mon-fri 09:00-17:00", "sat 10:00-14:00"]

        [calendars.bare]
        """
    )
    settings = load_settings(config=str(config), environ={})
    assert settings.late_tolerance == timedelta(seconds=90)
    assert settings.calendars == {
        "company": CalendarConfig(
            "company",
            base="DE-BY",
            extra={date(2026, 12, 24): "Christmas Eve", date(2026, 12, 31): "New Year's Eve"},
            removed=frozenset({date(2026, 1, 6)}),
            work_week=frozenset({1, 2, 3, 4}),
            hours=parse_hours("mon-thu 09:00-12:00,13:00-17:00"),
            zone="Europe/Berlin",
        ),
        "night shift": CalendarConfig(
            "night shift",
            extra=dict.fromkeys((date(2026, 12, 24), date(2026, 12, 31)), "company holiday"),
            work_week=frozenset({3, 5, 6, 7}),
            hours=parse_hours("fri-sun 12:00-13:00,22:00-06:00; wed 22:00-06:00"),
        ),
        "list": CalendarConfig("list", hours=parse_hours("mon-fri 09:00-17:00; sat 10:00-14:00")),
        "bare": CalendarConfig("bare"),
    }


def test_late_tolerance_is_five_minutes_unless_asked(config: Path) -> None:
    config.write_text("")
    assert load_settings(config=str(config), environ={}).late_tolerance == timedelta(minutes=5)
    assert load_settings(environ={}).calendars == {}


CALENDAR = "[calendars.company]\n"


def test_handlers_of_other_kinds(config: Path, tmp_path: Path) -> None:
    config.write_text(
        """
        [handlers.hook]
        webhook = "https://x.example:8443/hooks?a=b"
        secret_env = "HOOK_SECRET"

        [handlers.near]
        webhook = "http://localhost/"
        secret_file = "secrets/near"
        allow_http = true

        [handlers.open]
        webhook = "http://localhost/"

        [handlers.tell]
        notify = "waits"

        [handlers.call]
        python = "package.module:Class.method"

        [handlers.near-call]
        python = "package.module:function"
        own_process = false

        [handlers.many]
        exec = ["cat"]
        batch = true
        """
    )
    handlers = load_settings(config=str(config), environ={}).handlers
    assert [handlers[name].target for name in ("hook", "near", "open")] == [
        WebhookConfig("https://x.example:8443/hooks?a=b", secret_env="HOOK_SECRET"),
        WebhookConfig("http://localhost/", secret_file=str(tmp_path / "secrets/near")),
        WebhookConfig("http://localhost/"),
    ]
    assert handlers["tell"] == HandlerConfig("tell", NotifyConfig("waits"))
    assert handlers["call"] == HandlerConfig("call", PythonConfig("package.module:Class.method"))
    assert handlers["near-call"].target == PythonConfig("package.module:function", own_process=False)
    assert handlers["many"] == HandlerConfig("many", ExecConfig(("cat",), batch=True), concurrency=1)


HANDLER = "[handlers.nudge]\nexec = ['true']\n"
HOOK = "[handlers.nudge]\nwebhook = 'https://x.example/a'\n"


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
        ("[handlers.nudge]", "handlers.nudge: nothing to run: give one of exec, webhook, notify, python"),
        (HANDLER + "webhook = 'https://x.example'", "handlers.nudge: exec and webhook: give one of"),
        (HANDLER + "notify = 'waits'", "handlers.nudge: exec and notify: give one of"),
        (f"[handlers.nudge]\nnotify = '{'ä' * 32}'", "handlers.nudge.notify: PostgreSQL takes 63 bytes"),
        ("[handlers.nudge]\nnotify = ''", "handlers.nudge.notify: "),
        ("[handlers.nudge]\npython = 'json.loads'", "handlers.nudge.python: write it as"),
        ("[handlers.nudge]\npython = 'json:'", "handlers.nudge.python: write it as"),
        ("[handlers.nudge]\npython = 'os:system(1)'", "handlers.nudge.python: write it as"),
        (HOOK + "batch = true", "handlers.nudge: batch goes with exec"),
        (HANDLER + "batch = true\nconcurrency = 2", "handlers.nudge: concurrency and batch: "),
        (HOOK + "env_drop = ['X']", "handlers.nudge: env_drop and env_only go with exec"),
        (HOOK + "env_only = []", "handlers.nudge: env_drop and env_only go with exec"),
        (HANDLER + "env_drop = ['X']\nenv_only = []", "handlers.nudge: env_drop and env_only: give one"),
        (HANDLER + "env_drop = ['X=']", "handlers.nudge.env_drop"),
        (HANDLER + "secret_env = 'X'", "handlers.nudge: secret_env goes with webhook"),
        (HANDLER + "allow_http = false", "handlers.nudge: allow_http goes with webhook"),
        (HOOK + "secret_env = 'X'\nsecret_file = 'y'", "handlers.nudge: secret_env and secret_file: give one"),
        (HOOK + "secret_env = ''", "handlers.nudge.secret_env: "),
        (HOOK + "allow_http = 'yes'", "handlers.nudge.allow_http: "),
        (HOOK.replace("s:", ":") + "secret_env = 'X'", "handlers.nudge: webhook: http:// with a secret .* allow_http"),
        (HOOK.replace("https:", ""), "handlers.nudge.webhook: write a URL"),
        (HOOK.replace("https", "ftp"), "handlers.nudge.webhook: write a URL"),
        (HOOK.replace("x.example", ""), "handlers.nudge.webhook: write a URL"),
        (HOOK.replace("x.example", "x.example:x"), "handlers.nudge.webhook: "),
        (HOOK.replace("x.example", "x.example:70000"), "handlers.nudge.webhook: "),
        (HOOK.replace("x.example", "[::1"), "handlers.nudge.webhook: "),
        (HOOK.replace("x.example", "u:geheim@x.example"), "handlers.nudge.webhook: a URL in a config file holds no"),
        (HOOK.replace("/a", "/a b"), "handlers.nudge.webhook: a URL is ASCII"),
        (HOOK.replace("/a", "/ä"), "handlers.nudge.webhook: a URL is ASCII"),
        (HOOK.replace("/a", "/#a"), "handlers.nudge.webhook: a URL is ASCII"),
        (HOOK.replace("x.example", "x..example"), "handlers.nudge.webhook: that is no host name"),
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
        ("late_tolerance = 300", 'late_tolerance: write a duration in quotes, as in "30s"'),
        ("late_tolerance = '0s'", "late_tolerance: a duration is more than zero"),
        ("late_tolerance = '1bd'", "late_tolerance: business days have no place here"),
        ("late_tolerance = '1mo'", "late_tolerance: .*months and years"),
        ("calendars = 3", "calendars: "),
        ("[calendars]\ncompany = 'DE'", "calendars.company: "),
        (CALENDAR + "holidays = []", "unknown key 'calendars.company.holidays'"),
        (CALENDAR + "base = ''", "calendars.company.base: "),
        (CALENDAR + "base = 3", "calendars.company.base: "),
        (CALENDAR + "extra = '2026-12-24'", "calendars.company.extra: write a list of dates"),
        (CALENDAR + "extra = ['24.12.2026']", "calendars.company.extra: '24.12.2026' is not a date"),
        (CALENDAR + "extra = ['2026-02-30']", "calendars.company.extra: '2026-02-30' is not a date"),
        (CALENDAR + "extra = [2026-12-24T18:00:00]", "calendars.company.extra: '2026-12-24 18:00:00' is not a date"),
        (CALENDAR + "extra = [20261224]", "calendars.company.extra: '20261224' is not a date"),
        (CALENDAR + "extra = [['2026-12-24']]", "calendars.company.extra: .* is not a date"),
        (CALENDAR + "extra = { 2026-12-24 = 3 }", "calendars.company.extra: write a list of dates, or a table"),
        (CALENDAR + "extra = { 2026-12-24 = '' }", "calendars.company.extra: write a list of dates, or a table"),
        (CALENDAR + "extra = { christmas = 'x' }", "calendars.company.extra: 'christmas' is not a date"),
        (CALENDAR + "removed = ['soon']", "calendars.company.removed: 'soon' is not a date"),
        (CALENDAR + "work_week = 5", 'calendars.company.work_week: write the work week as "mon-fri"'),
        (CALENDAR + "work_week = []", "calendars.company.work_week: '' names no weekdays"),
        (CALENDAR + "work_week = [1, 2]", 'calendars.company.work_week: write the work week as "mon-fri"'),
        (CALENDAR + "work_week = 'mon-frx'", "calendars.company.work_week: 'mon-frx' names no weekdays"),
        (CALENDAR + "hours = 9", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = ''", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = []", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = [9]", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = {}", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = { mon = 9 }", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = { mon = [9] }", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = { mon = 09:00:00 }", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = { mon = [] }", "calendars.company.hours: write the hours as"),  # not the whole day
        (CALENDAR + "hours = { mon = '' }", "calendars.company.hours: write the hours as"),
        (CALENDAR + "hours = 'mon 9-17'", "calendars.company.hours: the hours 'mon 9-17' cannot be read: '9-17'"),
        (CALENDAR + "hours = 'mon 09:00-09:00'", "calendars.company.hours: .* is empty"),
        (CALENDAR + "hours = ['09:00-12:00', 'sat 11:00-13:00']", "calendars.company.hours: .* overlap at sat 11:00"),
        (CALENDAR + "zone = 'GMT+2'", "calendars.company.zone: 'GMT[+]2' is not a time zone"),
        (CALENDAR + "zone = 3", "calendars.company.zone: "),
        ("timezone = ", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
        (f"timezone = {'[' * 100_000}", "is nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidSettingError, match=says) as caught:
        load_settings(config=str(config), environ={})
    assert str(config) in caught.value.message
    assert "geheim" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is a number alone."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(InvalidSettingError, match="no home") as caught:
        load_settings(environ={})
    assert caught.value.hint == "set HOME"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = '\xe9'"])
def test_file_that_is_no_text(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(InvalidSettingError, match="cannot read"):
        load_settings(config=str(config), environ={})


@pytest.mark.parametrize("safe", [True, False])
def test_a_file_that_fills_the_memory_is_not_read(config: Path, safe: bool) -> None:
    """Anybody may have written it where it is only looked at: two hundred gigabytes of nothing, on no disk."""
    config.touch(0o600)
    os.truncate(config, 200 * 2**30)
    config.chmod(0o600 if safe else 0o666)
    with pytest.raises(InvalidSettingError, match="is larger than 1,048,576 bytes"):
        load_settings(config=str(config), environ={})
    report = report_config(config=str(config), environ={})
    assert [problem.message for problem in report.problems][-1] == "the file is larger than 1,048,576 bytes"


def test_folder_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="no config file"):
        load_settings(config=str(tmp_path), environ={})


def test_environment_is_checked_too() -> None:
    with pytest.raises(InvalidTimezoneError):
        load_settings(environ={"WAITCTL_TIMEZONE": "GMT+2"})
    with pytest.raises(InvalidWaitDateError, match="WAITCTL_AS_OF"):
        load_settings(environ={"WAITCTL_AS_OF": "yesterday"})


# -- sources -----------------------------------------------------------------------------------------------------------


def test_sources_name_their_secrets_and_hold_none(config: Path) -> None:
    config.write_text(
        """
        [sources.shop]
        format = "calcom"
        secret_env = "SHOP_KEY"
        secret_file = ["new.key", "old.key"]
        contact = "metadata.user_id"
        url = "https://example.org/hooks"
        tolerance = "5m"

        [sources.open]
        verify = false
        """
    )
    sources = load_settings(config=str(config), environ={}).sources
    shop = sources["shop"]
    assert (shop.secret_env, shop.secret_file) == (("SHOP_KEY",), ("new.key", "old.key"))
    assert (shop.contact, shop.url, shop.has_secret, sources["open"].has_secret) == (
        "metadata.user_id",
        "https://example.org/hooks",
        True,
        False,
    )
    assert (shop.tolerance, sources["open"].tolerance) == (timedelta(minutes=5), None)
    assert (shop.verify, sources["open"].verify) == (True, False)
    for name in ("new", "old"):
        (config.parent / f"{name}.key").write_text(f" {name} s3cret\n")
    assert shop.secrets({"SHOP_KEY": "s3same"}) == ["s3same", "new s3cret", "old s3cret"]
    assert "s3cret" not in repr(shop)
    with pytest.raises(MissingCredentialError, match="SHOP_KEY"):
        shop.secrets({})
    (config.parent / "old.key").unlink()
    with pytest.raises(MissingCredentialError, match=r"old\.key"):
        shop.secrets({"SHOP_KEY": "s3same"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("secret = 'x'", "unknown key 'sources.a.secret'"),
        ("secret_env = []", "sources.a.secret_env: name at least one"),
        ("secret_env = ['A', '']", "sources.a.secret_env"),
        ("secret_file = 3", "sources.a.secret_file"),
        ("contact = ''", "sources.a.contact"),
        ("verify = false\nsecret_env = 'A'", "sources.a: name a secret, or say verify = false"),
        ("verify = 'no'", "sources.a.verify"),
        ("max_quarantined = -1", "sources.a.max_quarantined"),
        ("max_quarantine_age = 30", "sources.a.max_quarantine_age: write a duration"),
        ("tolerance = 300", "sources.a.tolerance: write a duration"),
    ],
)
def test_sources_that_are_not_understood(config: Path, text: str, says: str) -> None:
    config.write_text(f"[sources.a]\n{text}")
    with pytest.raises(InvalidSettingError, match=re.escape(says)):
        load_settings(config=str(config), environ={})
