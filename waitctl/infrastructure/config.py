"""Settings: flag > environment > config file > default.

pydantic checks the file, and is loaded only when there is one: a script starts waitctl once an event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waitctl.domain.errors import InvalidSettingError, UnsafeFileError
from waitctl.domain.handlers import INLINE, INLINE_TIMEOUT, HandlerConfig, InlineConfig
from waitctl.domain.hours import OpeningHours, parse_days, parse_hours
from waitctl.domain.instants import check_zone, parse_instant
from waitctl.domain.late import LATE_TOLERANCE
from waitctl.domain.quarantine import MAX_AGE, MAX_QUARANTINED
from waitctl.infrastructure.file_trust import OVERRIDE, read_trusted
from waitctl.infrastructure.secrets import read_secrets
from waitctl.infrastructure.zone_rules import use_newest

if TYPE_CHECKING:
    from pydantic import ValidationError

INLINE_DEFAULT = HandlerConfig(INLINE, InlineConfig(), timeout=INLINE_TIMEOUT)


@dataclass(frozen=True, slots=True)
class CalendarConfig:
    """One ``[calendars.NAME]`` of the config file. ``base`` names another calendar; what is left out is the base's."""

    name: str
    base: str | None = None
    extra: Mapping[date, str] = field(default_factory=dict)
    removed: frozenset[date] = frozenset()
    work_week: frozenset[int] | None = None
    hours: OpeningHours | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One ``[sources.NAME]`` of the config file: how a sender's webhooks are verified and read.

    Names of secrets, never the secrets: ``secret_env`` are variables, ``secret_file`` files; several while they rotate.
    ``verify``: False where what has no secret is to be taken unverified. ``tolerance``: how far a signed instant may
    lie from now; None for what the provider says. ``max_quarantined``
    and ``max_quarantine_age``: how much of what was refused is kept, and how long.
    """

    name: str
    format: str | None = None
    secret_env: tuple[str, ...] = ()
    secret_file: tuple[str, ...] = ()
    contact: str | None = None
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
class Settings:
    """What a run of waitctl goes by."""

    database_url: str
    config_file: Path | None = None
    timezone: str = "UTC"
    as_of: datetime | None = None
    handlers: Mapping[str, HandlerConfig] = field(default_factory=dict)
    calendars: Mapping[str, CalendarConfig] = field(default_factory=dict)
    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    late_tolerance: timedelta = LATE_TOLERANCE
    allow_inline_commands: bool = False
    inline: HandlerConfig = INLINE_DEFAULT
    """How inline commands run: ``[handlers.--]`` without anything to run."""
    on_dead: str | None = None
    unknown_handler_after: timedelta = timedelta(hours=24)
    inline_key_file: Path | None = None
    """The key by which several hosts know each other's inline commands; left out, this user's own."""

    @property
    def verified_sources(self) -> frozenset[str]:
        """The sources that have a secret: under their names nothing may come in by a door that does not verify."""
        return frozenset(name for name, source in self.sources.items() if source.has_secret)

    def __post_init__(self) -> None:
        use_newest()


def load_settings(
    *, database_url: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings. The arguments are the flags; ``environ`` defaults to the process's.

    Raises `InvalidSettingError`, naming the key, for anything that is not understood, and `UnsafeFileError` for a file
    with code or secrets that others could change.
    """
    use_newest()  # before a zone is looked up
    environ = os.environ if environ is None else environ
    if database_url == "":
        raise InvalidSettingError("--database-url is empty", hint="leave it out for the default database")
    path = _config_file(config, environ)
    values = _read_file(path, environ) if path else {}
    as_of = environ.get("WAITCTL_AS_OF")
    timezone = environ.get("WAITCTL_TIMEZONE") or values.get("timezone") or "UTC"
    return Settings(
        database_url=database_url
        or environ.get("WAITCTL_DATABASE_URL")
        or values.get("database_url")
        or _default_database_url(),
        config_file=path,
        timezone=check_zone(timezone),
        as_of=parse_instant(as_of, "WAITCTL_AS_OF") if as_of else None,
        handlers=values.get("handlers", {}),
        calendars=values.get("calendars", {}),
        sources=values.get("sources", {}),
        **{name: values[name] for name in _PLAIN if values.get(name) is not None},
    )


_PLAIN = (
    *("late_tolerance", "allow_inline_commands", "inline", "on_dead", "unknown_handler_after"),
    "inline_key_file",
)

_HARMLESS = frozenset({"timezone", "late_tolerance", "unknown_handler_after", "calendars"})
"""Settings that decide when something happens, and never what, for whom or on whose word."""


def _config_file(flag: str | None, environ: Mapping[str, str]) -> Path | None:
    named = flag or environ.get("WAITCTL_CONFIG")
    if named:
        path = Path(named)
        if not path.is_file():
            raise InvalidSettingError(f"no config file at {path}")
        return path.absolute()
    from platformdirs import user_config_path

    default = user_config_path("waitctl", appauthor=False) / "config.toml"
    return default if default.is_file() else None


def _default_database_url() -> str:
    from platformdirs import user_data_path

    return f"sqlite:///{user_data_path('waitctl', appauthor=False) / 'waitctl.db'}"


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
            content = read_trusted(path, "the config file", environ=environ)
        except UnsafeFileError as error:
            unsafe, content = error, path.read_bytes()
        document = tomllib.loads(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingError(f"{path} is not TOML: {error}") from error
    if unsafe is not None and not document.keys() <= _HARMLESS:
        raise unsafe
    if "allow_unsafe_files" in document:
        raise InvalidSettingError(
            f"{path}: allow_unsafe_files: a file cannot vouch for itself", hint=f"set {OVERRIDE}=1 in the environment"
        )
    return document


def _model(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Check the file against its model; built here so that only a host with a config file pays for pydantic."""
    from typing import Annotated

    from pydantic import (
        AfterValidator,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        StringConstraints,
        model_validator,
    )

    from waitctl.infrastructure.handler_settings import HandlerModel, Span, Word, as_value_error

    name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
    iana = Annotated[str, AfterValidator(lambda value: as_value_error(lambda: check_zone(value)))]

    class CalendarModel(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        base: Word | None = None
        extra: Annotated[dict[date, str], BeforeValidator(_named_dates)] = {}
        removed: Annotated[frozenset[date], BeforeValidator(lambda value: frozenset(_named_dates(value)))] = frozenset()
        work_week: Annotated[frozenset[int] | None, BeforeValidator(_read_days)] = None
        hours: Annotated[Any, BeforeValidator(_read_hours)] = None
        zone: iana | None = None

    class SourceModel(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        format: Word | None = None
        secret_env: Annotated[tuple[Word, ...], BeforeValidator(_one_or_several)] = ()
        secret_file: Annotated[tuple[Word, ...], BeforeValidator(_one_or_several)] = ()
        contact: Word | None = None
        url: Word | None = None
        verify: bool = True
        tolerance: Span | None = None
        max_quarantined: Annotated[int, Field(ge=0)] = MAX_QUARANTINED
        max_quarantine_age: Span = MAX_AGE

        @model_validator(mode="after")
        def _check_verify(self) -> SourceModel:
            if not self.verify and (self.secret_env or self.secret_file):
                raise ValueError("name a secret, or say verify = false: not both")
            return self

    class FileModel(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        database_url: Word | None = None
        timezone: iana | None = None
        late_tolerance: Span | None = None
        allow_inline_commands: bool = False
        on_dead: Word | None = None
        unknown_handler_after: Span | None = None
        inline_key_file: Word | None = None
        calendars: dict[name, CalendarModel] = {}
        handlers: dict[name, HandlerModel] = {}
        sources: dict[name, SourceModel] = {}

    model = FileModel.model_validate(document)
    handlers = {name: _handler(path, name, handler.to_config) for name, handler in model.handlers.items()}
    calendars = {
        name: CalendarConfig(name, **{key: getattr(calendar, key) for key in CalendarModel.model_fields})
        for name, calendar in model.calendars.items()
    }
    sources = {
        name: SourceConfig(name, **{key: getattr(source, key) for key in SourceModel.model_fields}, folder=path.parent)
        for name, source in model.sources.items()
    }
    plain = {"database_url", "timezone", *_PLAIN} - {"inline", "inline_key_file"}
    key_file = model.inline_key_file
    return model.model_dump(include=plain) | {
        "inline_key_file": None if key_file is None else path.parent / Path(key_file).expanduser(),
        "inline": handlers.pop(INLINE, None),
        "handlers": handlers,
        "calendars": calendars,
        "sources": sources,
    }


def _handler(path: Path, name: str, to_config: Callable[[str, Path], HandlerConfig]) -> HandlerConfig:
    try:
        return to_config(name, path.parent)
    except ValueError as error:
        raise InvalidSettingError(f"{path}: handlers.{name}: {error}") from error


def _one_or_several(value: object) -> object:
    """A name, or a list of names."""
    if value in ([], ""):
        raise ValueError("name at least one, or leave it out")
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _named_dates(value: object) -> dict[date, str]:
    """Dates as TOML or as texts, in a list or in a table that gives each its name."""
    if isinstance(value, list):
        return {_as_date(day): "company holiday" for day in value}
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value.values()):
        raise ValueError('write a list of dates, or a table as in { "2026-12-24" = "Christmas Eve" }')
    return {_as_date(day): name for day, name in value.items()}


def _as_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{str(value)!r} is not a date") from None


def _read_days(value: object) -> frozenset[int]:
    """``"mon-fri"``, or a list of weekdays."""
    from waitctl.infrastructure.handler_settings import as_value_error

    text = ",".join(value) if isinstance(value, list) and all(isinstance(day, str) for day in value) else value
    if not isinstance(text, str):
        raise ValueError('write the work week as "mon-fri"')
    return as_value_error(lambda: parse_days(text))


def _read_hours(value: object) -> OpeningHours:
    """A text as for --window, a list of such, or a table of intervals by weekday."""
    from waitctl.infrastructure.handler_settings import as_value_error

    if isinstance(value, dict):
        value = [f"{days} {_joined(spans, ',')}" for days, spans in value.items()]
    text = _joined(value, ";")
    return as_value_error(lambda: parse_hours(text, "the hours"))


def _joined(value: object, separator: str) -> str:
    """A text, or the texts of a list. Nothing is refused: days without intervals would be open all day."""
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str) and text]
    if not texts or len(texts) < len(given):
        raise ValueError('write the hours as "mon-fri 09:00-12:00,13:00-17:00"')
    return separator.join(texts)


def _explain(path: Path, error: ValidationError) -> InvalidSettingError:
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InvalidSettingError(f"{path}: unknown key {key!r}")
    return InvalidSettingError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}")
