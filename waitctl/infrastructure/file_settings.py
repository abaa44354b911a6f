"""How the config file is checked: keys, types, what fits together. Loaded with the file, since pydantic is."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from waitctl.domain.hours import Interval, OpeningHours, parse_days, parse_hours
from waitctl.domain.instants import check_zone
from waitctl.domain.logs import LogFormat
from waitctl.domain.quarantine import MAX_AGE, MAX_QUARANTINED
from waitctl.infrastructure.handler_settings import HandlerModel, Span, Word, as_value_error, says
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


def _half_days(value: object) -> dict[date, tuple[Interval, ...]]:
    """Hours of single days: ``{ "2026-12-24" = "09:00-12:00" }``."""
    if not isinstance(value, dict) or not all(
        isinstance(spans, str) and spans[:1].isdigit() for spans in value.values()
    ):
        raise ValueError('write a table as in { "2026-12-24" = "09:00-12:00" }')
    return {_as_date(day): _spans(spans) for day, spans in value.items()}


def _spans(text: str) -> tuple[Interval, ...]:
    return as_value_error(lambda: parse_hours(text, "the hours")).intervals[1]


def _joined(value: object, separator: str) -> str:
    """A text, or the texts of a list. Nothing is refused: days without intervals would be open all day."""
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str) and text]
    if not texts or len(texts) < len(given):
        raise ValueError('write the hours as "mon-fri 09:00-12:00,13:00-17:00"')
    return separator.join(texts)


def _http_url(value: str) -> str:
    """An address that can be asked; what it holds may be as good as a password, and is not repeated."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("write an address, as in https://hc-ping.com/UUID")
    return value


def _read_command(value: object) -> object:
    """The words of a command line, as a shell has them, or a list of them."""
    import shlex

    if isinstance(value, str):
        return tuple(as_value_error(lambda: shlex.split(value)))
    return tuple(value) if isinstance(value, list) else value


def _read_scopes(value: object) -> frozenset[Scope]:
    if not isinstance(value, list) or not value or not all(each in set(Scope) for each in value):
        raise ValueError(f"write a list of {', '.join(Scope)}")
    return frozenset(map(Scope, value))


ShortName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Iana = Annotated[str, AfterValidator(lambda value: as_value_error(lambda: check_zone(value)))]
Names = Annotated[tuple[Word, ...], BeforeValidator(_one_or_several)]


class CalendarModel(BaseModel):
    """One ``[calendars.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    base: Annotated[Word | None, says("The calendar that this one changes.", '"DE-BY"')] = None
    extra: Annotated[
        dict[date, str],
        BeforeValidator(_named_dates),
        says("Further holidays: a list of dates, or a table of names.", '{ "2026-12-24" = "Christmas Eve" }'),
    ] = {}
    removed: Annotated[
        frozenset[date],
        BeforeValidator(lambda value: frozenset(_named_dates(value))),
        says("Holidays of the base that are worked.", '["2026-08-15"]'),
    ] = frozenset()
    work_week: Annotated[
        frozenset[int] | None, BeforeValidator(_read_days), says("The days that are worked.", '"mon-fri"')
    ] = None
    hours: Annotated[
        Any, BeforeValidator(_read_hours), says("The opening hours.", '"mon-fri 09:00-12:00,13:00-17:00"')
    ] = None
    zone: Annotated[
        Iana | None, says("Where its days and hours are; left out, where the wait is.", '"Europe/Berlin"')
    ] = None
    worked: Annotated[
        frozenset[date],
        BeforeValidator(lambda value: frozenset(_named_dates(value))),
        says("Days that are worked, whatever else says they are not.", '["2026-10-10"]'),
    ] = frozenset()
    half_days: Annotated[
        Any, BeforeValidator(_half_days), says("The hours of single days.", '{ "2026-12-24" = "09:00-12:00" }')
    ] = {}
    ics: Annotated[
        Word | None, says("An iCalendar file, beside the config file: its whole days are holidays.", '"club.ics"')
    ] = None
    observed: Annotated[bool, says("False: a holiday on a weekend moves to no other day.", "false")] = True


class SourceModel(BaseModel):
    """One ``[sources.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Annotated[Word | None, says("Who sends it: a format of `waitctl event providers`.", '"typeform"')] = None
    secret_env: Annotated[Names, says("The variable with the secret; a list while secrets rotate.", '"HOOK_KEY"')] = ()
    secret_file: Annotated[
        Names,
        says("The file with the secret, beside the config file; a list while secrets rotate.", '"typeform.secret"'),
    ] = ()
    contact: Annotated[
        Word | None, says("Where in the payload the contact stands, if not where the format has it.", '"user_id"')
    ] = None
    timezone: Annotated[
        Annotated[Word, StringConstraints(pattern=r"^data(\.[^.]+)+$")] | None,
        says("Where its events tell the contact's zone.", '"data.tz"'),
    ] = None
    url: Annotated[
        Word | None,
        says("The hook's URL as the sender has it, where that is signed.", '"https://example.org/hooks/sms"'),
    ] = None
    verify: Annotated[bool, says("False takes unverified what has no secret.", "false")] = True
    tolerance: Annotated[Span | None, says("How old a signature may be; left out, as the provider has it.", '"5m"')] = (
        None
    )
    max_quarantined: Annotated[int, Field(ge=0), says("How many refused payloads are kept.", "1000")] = MAX_QUARANTINED
    max_quarantine_age: Annotated[Span, says("How long a refused payload is kept.", '"30d"')] = MAX_AGE

    @model_validator(mode="after")
    def _check_verify(self) -> SourceModel:
        if not self.verify and (self.secret_env or self.secret_file):
            raise ValueError("name a secret, or say verify = false: not both")
        return self


class TemplateModel(BaseModel):
    """One ``[templates.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    create: Annotated[
        tuple[str, ...],
        BeforeValidator(_read_command),
        says(
            "A command line of `create`, with placeholders: a text, or a list.", '"fixed-time {days:int}d --at 09:00"'
        ),
    ]
    examples: Annotated[dict[str, str], says("Values to check and to show it with.", '{ plan = "pro" }')] = {}


class TokenModel(BaseModel):
    """One ``[serve.tokens.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token_env: Annotated[Names, says("Variables that hold the token; several while one rotates.", '"SHOP_TOKEN"')] = ()
    token_file: Annotated[Names, says("Files that hold it, readable by the user alone.", '"grafana.token"')] = ()
    scopes: Annotated[
        frozenset[Scope],
        BeforeValidator(_read_scopes),
        says("What it may do: events, read, write.", '["events", "write"]'),
    ]

    @model_validator(mode="after")
    def _check_named(self) -> TokenModel:
        if not (self.token_env or self.token_file):
            raise ValueError("say where the token is: token_env or token_file")
        return self


class ServeModel(BaseModel):
    """The ``[serve]`` section."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens: Annotated[dict[ShortName, TokenModel], says("Who may do what.", "[serve.tokens.shop]")] = {}
    hosts: Annotated[
        Names, says("The names it may be asked for by, beside those of this machine.", '["waits.example.org"]')
    ] = ()
    max_tick_age: Annotated[Span, says("After how long without a tick /healthz is 503.", '"3m"')] = MAX_TICK_AGE
    max_requests: Annotated[
        Annotated[int, Field(ge=1, le=65_535)], says("Requests in flight; more are told 429.", "256")
    ] = MAX_REQUESTS
    root_path: Annotated[
        Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]+)*$")],
        says("The path under which a proxy has it.", '"/waits"'),
    ] = ""
    tls_cert: Annotated[Word | None, says("The certificate, for TLS without a proxy.", '"cert.pem"')] = None
    tls_key: Annotated[Word | None, says("Its key.", '"key.pem"')] = None

    @model_validator(mode="after")
    def _check_pair(self) -> ServeModel:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        return self


class FileModel(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    database_url: Annotated[
        Word | None,
        says(
            "The database: sqlite:///FILE or postgresql://…; left out, a file in the user's data folder.",
            '"postgresql://waitctl@db.example.org/waitctl"',
        ),
    ] = None
    read_url: Annotated[
        Word | None,
        says(
            "A replica of it, where list, pending and analytics read; it may lag behind.",
            '"postgresql://waitctl@replica.example.org/waitctl"',
        ),
    ] = None
    timezone: Annotated[Iana | None, says("The zone of waits that name none; left out, UTC.", '"Europe/Berlin"')] = None
    late_tolerance: Annotated[
        Span | None, says("How late a tick may be before closed windows hold a wait back.", '"5m"')
    ] = None
    allow_inline_commands: Annotated[
        bool, says("Whether commands behind -- run on PostgreSQL; they need inline_key_file, too.", "true")
    ] = False
    on_dead: Annotated[Word | None, says("The handler that is told of dead deliveries.", '"tell-ops"')] = None
    unknown_handler_after: Annotated[
        Span | None, says("How long a delivery waits for a host that knows its handler.", '"24h"')
    ] = None
    retention: Annotated[Span | None, says("How long what has ended is kept; left out, for ever.", '"90d"')] = None
    tombstone_retention: Annotated[
        Span | None,
        says("How long keys and ids of what was pruned are remembered; left out, for ever.", '"1000d"'),
    ] = None
    ping_url: Annotated[
        Annotated[Word, AfterValidator(_http_url)] | None,
        says("Where a tick tells a dead man's switch that it has run.", '"https://hc-ping.com/UUID"'),
    ] = None
    inline_key_file: Annotated[
        Word | None, says("The key that hosts share to sign inline commands.", '"inline.key"')
    ] = None
    log_format: Annotated[
        Annotated[LogFormat, Field(strict=False)] | None,
        says("How a tick writes its log: human, json, or journal for systemd.", '"json"'),
    ] = None
    calendars: Annotated[dict[ShortName, CalendarModel], says("Calendars of your own.", "[calendars.company]")] = {}
    handlers: Annotated[
        dict[ShortName, HandlerModel], says("What runs when a wait has ended.", "[handlers.nudge]")
    ] = {}
    sources: Annotated[dict[ShortName, SourceModel], says("Who sends webhooks.", "[sources.typeform]")] = {}
    templates: Annotated[
        dict[ShortName, TemplateModel], says("Waits that are asked for by name.", "[templates.reminder]")
    ] = {}
    serve: Annotated[ServeModel, says("What `serve` listens to, and whom it lets in.", "[serve]")] = ServeModel()
