"""How the config file is checked: keys, types, what fits together. Loaded with the file, since pydantic is."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from waitctl.domain.hours import OpeningHours, parse_days, parse_hours
from waitctl.domain.instants import check_zone
from waitctl.domain.logs import LogFormat
from waitctl.domain.quarantine import MAX_AGE, MAX_QUARANTINED
from waitctl.infrastructure.handler_settings import HandlerModel, Span, Word, as_value_error
from waitctl.infrastructure.serve_settings import MAX_REQUESTS, MAX_TICK_AGE, Scope


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
    text = ",".join(value) if isinstance(value, list) and all(isinstance(day, str) for day in value) else value
    if not isinstance(text, str):
        raise ValueError('write the work week as "mon-fri"')
    return as_value_error(lambda: parse_days(text))


def _read_hours(value: object) -> OpeningHours:
    """A text as for --window, a list of such, or a table of intervals by weekday."""
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


def _read_scopes(value: object) -> frozenset[Scope]:
    if not isinstance(value, list) or not value or not all(each in set(Scope) for each in value):
        raise ValueError(f"write a list of {', '.join(Scope)}")
    return frozenset(map(Scope, value))


Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Iana = Annotated[str, AfterValidator(lambda value: as_value_error(lambda: check_zone(value)))]
Names = Annotated[tuple[Word, ...], BeforeValidator(_one_or_several)]


class CalendarModel(BaseModel):
    """One ``[calendars.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    base: Word | None = None
    extra: Annotated[dict[date, str], BeforeValidator(_named_dates)] = {}
    removed: Annotated[frozenset[date], BeforeValidator(lambda value: frozenset(_named_dates(value)))] = frozenset()
    work_week: Annotated[frozenset[int] | None, BeforeValidator(_read_days)] = None
    hours: Annotated[Any, BeforeValidator(_read_hours)] = None
    zone: Iana | None = None


class SourceModel(BaseModel):
    """One ``[sources.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Word | None = None
    secret_env: Names = ()
    secret_file: Names = ()
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


class TokenModel(BaseModel):
    """One ``[serve.tokens.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token_env: Names = ()
    token_file: Names = ()
    scopes: Annotated[frozenset[Scope], BeforeValidator(_read_scopes)]

    @model_validator(mode="after")
    def _check_named(self) -> TokenModel:
        if not (self.token_env or self.token_file):
            raise ValueError("say where the token is: token_env or token_file")
        return self


class ServeModel(BaseModel):
    """The ``[serve]`` section."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens: dict[Name, TokenModel] = {}
    hosts: Names = ()
    max_tick_age: Span = MAX_TICK_AGE
    max_requests: Annotated[int, Field(ge=1, le=65_535)] = MAX_REQUESTS
    root_path: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    tls_cert: Word | None = None
    tls_key: Word | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> ServeModel:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        return self


class FileModel(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    database_url: Word | None = None
    timezone: Iana | None = None
    late_tolerance: Span | None = None
    allow_inline_commands: bool = False
    on_dead: Word | None = None
    unknown_handler_after: Span | None = None
    inline_key_file: Word | None = None
    log_format: Annotated[LogFormat, Field(strict=False)] | None = None
    calendars: dict[Name, CalendarModel] = {}
    handlers: dict[Name, HandlerModel] = {}
    sources: dict[Name, SourceModel] = {}
    serve: ServeModel = ServeModel()
