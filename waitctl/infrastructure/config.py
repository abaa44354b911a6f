"""Settings: flag > environment > config file > default.

pydantic checks the file, and is loaded only when there is one: a script starts waitctl once an event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waitctl.domain import clocks
from waitctl.domain.errors import InvalidSettingError, UnsafeFileError
from waitctl.domain.handlers import INLINE, INLINE_TIMEOUT, HandlerConfig, InlineConfig
from waitctl.domain.instants import check_zone, parse_instant
from waitctl.domain.late import LATE_TOLERANCE
from waitctl.domain.logs import LogFormat
from waitctl.domain.quarantine import MAX_AGE, MAX_QUARANTINED
from waitctl.domain.values import dataclass
from waitctl.infrastructure.file_trust import OVERRIDE, read_anybodys, read_trusted
from waitctl.infrastructure.secrets import read_secrets
from waitctl.infrastructure.serve_settings import ServeConfig, TokenConfig
from waitctl.infrastructure.user_folders import config_folder, data_folder
from waitctl.infrastructure.zone_rules import use_newest

if TYPE_CHECKING:
    from pydantic import ValidationError

    from waitctl.domain.hours import Interval, OpeningHours
    from waitctl.infrastructure.file_settings import ServeModel

INLINE_DEFAULT = HandlerConfig(INLINE, InlineConfig(), timeout=INLINE_TIMEOUT)


UNKNOWN_HANDLER_AFTER = timedelta(hours=24)
"""How long a delivery waits for a host that knows its handler."""


@dataclass(frozen=True, slots=True)
class CalendarConfig:
    """One ``[calendars.NAME]`` of the config file. ``base`` names another calendar; what is left out is the base's.

    ``ics`` is an iCalendar file whose whole days are holidays; without ``observed`` a holiday on a weekend moves to no
    other day.
    """

    name: str
    base: str | None = None
    extra: Mapping[date, str] = field(default_factory=dict)
    removed: frozenset[date] = frozenset()
    work_week: frozenset[int] | None = None
    hours: OpeningHours | None = None
    zone: str | None = None
    worked: frozenset[date] = frozenset()
    half_days: Mapping[date, tuple[Interval, ...]] = field(default_factory=dict)
    ics: str | None = None
    observed: bool = True
    folder: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One ``[sources.NAME]`` of the config file: how a sender's webhooks are verified and read.

    Names of secrets, never the secrets: ``secret_env`` are variables, ``secret_file`` files; several while they rotate.
    ``timezone``: where its events tell the contact's zone, as in ``data.tz``.
    ``verify``: False where what has no secret is to be taken unverified. ``tolerance``: how far a signed instant may
    lie from now; None for what the provider says. ``max_quarantined``
    and ``max_quarantine_age``: how much of what was refused is kept, and how long.
    """

    name: str
    format: str | None = None
    secret_env: tuple[str, ...] = ()
    secret_file: tuple[str, ...] = ()
    contact: str | None = None
    timezone: str | None = None
    url: str | None = None
    verify: bool = True
    tolerance: timedelta | None = None
    max_quarantined: int = MAX_QUARANTINED
    max_quarantine_age: timedelta = MAX_AGE
    folder: Path | None = None

    @property
    def has_secret(self) -> bool:
        """Whether what comes from here has to be verified."""
        return bool(self.secret_env or self.secret_file)

    def secrets(self, environ: Mapping[str, str] | None = None) -> list[str]:
        """The secrets themselves. Raises `MissingCredentialError`, naming the variable or the file without one."""
        files = [(self.folder or Path()) / name for name in self.secret_file]
        return read_secrets(self.secret_env, files, f"{self.name}'s", environ)


@dataclass(frozen=True, slots=True)
class TemplateConfig:
    """One ``[templates.NAME]`` of the config file: a command line of `create`, and values to show it with."""

    name: str
    create: tuple[str, ...]
    examples: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run of waitctl goes by."""

    database_url: str
    config_file: Path | None = None
    timezone: str = "UTC"
    as_of: datetime | None = None
    handlers: Mapping[str, HandlerConfig] = field(default_factory=dict)
    calendars: Mapping[str, CalendarConfig] = field(default_factory=dict)
    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    templates: Mapping[str, TemplateConfig] = field(default_factory=dict)
    late_tolerance: timedelta = LATE_TOLERANCE
    allow_inline_commands: bool = False
    inline: HandlerConfig = INLINE_DEFAULT
    """How inline commands run: ``[handlers.--]`` without anything to run."""
    on_dead: str | None = None
    unknown_handler_after: timedelta = UNKNOWN_HANDLER_AFTER
    retention: timedelta | None = None
    """How long what has ended is kept by a tick; None: for ever."""
    tombstone_retention: timedelta | None = None
    """How long the keys and ids of what was pruned are remembered; None: for ever."""
    ping_url: str | None = None
    """Where a tick tells a dead man's switch that it has run."""
    log_format: LogFormat = LogFormat.HUMAN
    inline_key_file: Path | None = None
    """The key by which several hosts know each other's inline commands; left out, this user's own."""
    serve: ServeConfig = field(default_factory=ServeConfig)
    names_database: bool = False
    """Whether the config file says which database it is."""
    read_url: str | None = None
    """Where lists and counts are read, which may lag behind; None: where everything is."""

    @property
    def verified_sources(self) -> frozenset[str]:
        """The sources that have a secret: under their names nothing may come in by a door that does not verify."""
        return frozenset(name for name, source in self.sources.items() if source.has_secret)

    def __post_init__(self) -> None:
        clocks.prepare(use_newest)


def load_settings(
    *, database_url: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings. The arguments are the flags; ``environ`` defaults to the process's.

    Raises `InvalidSettingError`, naming the key, for anything that is not understood, and `UnsafeFileError` for a file
    with code or secrets that others could change.
    """
    clocks.prepare(use_newest)  # before a zone is looked up
    environ = os.environ if environ is None else environ
    if database_url == "":
        raise InvalidSettingError("--database-url is empty", hint="leave it out for the default database")
    path = find_config_file(config, environ)
    values = _read_file(path, environ) if path else {}
    as_of = environ.get("WAITCTL_AS_OF")
    timezone = environ.get("WAITCTL_TIMEZONE") or values.get("timezone") or "UTC"
    return Settings(
        database_url=database_url
        or environ.get("WAITCTL_DATABASE_URL")
        or values.get("database_url")
        or default_database_url(),
        config_file=path,
        names_database=values.get("database_url") is not None,
        read_url=read_url_of(database_url, environ, values),
        timezone=check_zone(timezone),
        as_of=parse_instant(as_of, "WAITCTL_AS_OF") if as_of else None,
        handlers=values.get("handlers", {}),
        calendars=values.get("calendars", {}),
        sources=values.get("sources", {}),
        templates=values.get("templates", {}),
        **{name: values[name] for name in _PLAIN if values.get(name) is not None} | log_format_of(environ),
    )


_PLAIN = (
    *("late_tolerance", "allow_inline_commands", "inline", "on_dead", "unknown_handler_after"),
    *("retention", "tombstone_retention", "ping_url", "inline_key_file", "log_format", "serve"),
)

MAX_CONFIG = 1024 * 1024
"""Bytes of a config file: it may be anybody's before it is looked at."""

_HARMLESS = frozenset({"timezone", "late_tolerance", "unknown_handler_after", "calendars", "log_format"})
"""Settings that decide when something happens, and never what, for whom or on whose word."""


def read_url_of(flag: str | None, environ: Mapping[str, str], values: Mapping[str, Any]) -> str | None:
    """The second URL, of where the first one is from: whoever names another database reads there, too."""
    if flag:
        return None
    own = None if environ.get("WAITCTL_DATABASE_URL") else values.get("read_url")
    return environ.get("WAITCTL_READ_URL") or own


def log_format_of(environ: Mapping[str, str]) -> dict[str, LogFormat]:
    """The environment's word on the log, if it has one. Raises `InvalidSettingError`."""
    text = environ.get("WAITCTL_LOG_FORMAT")
    try:
        return {"log_format": LogFormat(text)} if text else {}
    except ValueError:
        raise InvalidSettingError(f"WAITCTL_LOG_FORMAT={text!a} is none of {', '.join(LogFormat)}") from None


def find_config_file(flag: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is named, or the user's own if it is there. Raises `InvalidSettingError`."""
    named = flag or environ.get("WAITCTL_CONFIG")
    if named:
        path = Path(named)
        if not path.is_file():
            raise InvalidSettingError(f"no config file at {path}", hint="waitctl --config FILE init makes one there")
        return path.absolute()
    default = config_folder() / "config.toml"
    return default if default.is_file() else None


def default_database_url() -> str:
    """The file in the user's data folder. Raises `InvalidSettingError` for a user without a home."""
    return f"sqlite:///{data_folder() / 'waitctl.db'}"


def _read_file(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    from pydantic import ValidationError

    document = _read_document(path, environ)
    try:
        return _model(path, document)
    except ValidationError as error:
        raise _explain(path, error) from error


def _read_document(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    import tomllib

    unsafe: UnsafeFileError | None = None
    try:
        try:
            content = read_trusted(path, "the config file", most=MAX_CONFIG + 1, environ=environ)
        except UnsafeFileError as error:
            unsafe, content = error, read_anybodys(path, MAX_CONFIG + 1)
        if len(content) > MAX_CONFIG:
            raise InvalidSettingError(f"{path} is larger than {MAX_CONFIG:,} bytes")
        document = tomllib.loads(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise InvalidSettingError(f"{path} is nested too deeply") from error
    if unsafe is not None and not document.keys() <= _HARMLESS:
        raise unsafe
    if "allow_unsafe_files" in document:
        raise InvalidSettingError(
            f"{path}: allow_unsafe_files: a file cannot vouch for itself", hint=f"set {OVERRIDE}=1 in the environment"
        )
    return document


def _model(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Check the file against its model, loaded here so that only a host with a config file pays for pydantic."""
    from waitctl.infrastructure.file_settings import FileModel

    model = FileModel.model_validate(document)
    handlers = {name: _handler(path, name, handler.to_config) for name, handler in model.handlers.items()}
    calendars = {
        name: CalendarConfig(name, **dict(calendar), folder=path.parent) for name, calendar in model.calendars.items()
    }
    sources = {name: SourceConfig(name, **dict(source), folder=path.parent) for name, source in model.sources.items()}
    plain = {"database_url", "read_url", "timezone", *_PLAIN} - {"inline", "inline_key_file", "serve"}
    key_file = model.inline_key_file
    return model.model_dump(include=plain) | {
        "inline_key_file": None if key_file is None else path.parent / Path(key_file).expanduser(),
        "inline": handlers.pop(INLINE, None),
        "handlers": handlers,
        "calendars": calendars,
        "sources": sources,
        "templates": {name: TemplateConfig(name, **dict(template)) for name, template in model.templates.items()},
        "serve": _serve(path.parent, model.serve),
    }


def _serve(folder: Path, model: ServeModel) -> ServeConfig:
    tokens = {name: TokenConfig(name, **dict(token), folder=folder) for name, token in model.tokens.items()}
    files = {key: folder / Path(name).expanduser() for key in ("tls_cert", "tls_key") if (name := getattr(model, key))}
    return ServeConfig(**dict(model) | {"tls_cert": None, "tls_key": None, "tokens": tokens} | files)


def _handler(path: Path, name: str, to_config: Callable[[str, Path], HandlerConfig]) -> HandlerConfig:
    try:
        return to_config(name, path.parent)
    except ValueError as error:
        raise InvalidSettingError(f"{path}: handlers.{name}: {error}") from error


def _explain(path: Path, error: ValidationError) -> InvalidSettingError:
    first, *others = error.errors(include_url=False)
    hint = f"waitctl config check shows it and {len(others)} more, with their lines" if others else None
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InvalidSettingError(f"{path}: unknown key {key!r}", hint=hint)
    return InvalidSettingError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}", hint=hint)
