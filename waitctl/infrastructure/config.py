"""Settings: flag > environment > config file > default.

pydantic checks the file, and is loaded only when there is one: a script starts waitctl once an event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidSettingError, WaitStepError
from waitctl.domain.schedule import check_zone, parse_instant

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """One ``[handlers.NAME]`` of the config file."""

    name: str
    exec: tuple[str, ...]
    timeout: timedelta = timedelta(seconds=30)
    concurrency: int = 8
    retry: RetryPolicy = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run of waitctl goes by."""

    database_url: str
    config_file: Path | None = None
    timezone: str = "UTC"
    as_of: datetime | None = None
    handlers: Mapping[str, HandlerConfig] = field(default_factory=dict)


def load_settings(
    *, database_url: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings. The arguments are the flags; ``environ`` defaults to the process's.

    Raises `InvalidSettingError`, naming the key, for anything that is not understood.
    """
    environ = os.environ if environ is None else environ
    if database_url == "":
        raise InvalidSettingError("--database-url is empty", hint="leave it out for the default database")
    path = _config_file(config, environ)
    values = _read_file(path) if path else {}
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
    )


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


def _read_file(path: Path) -> dict[str, Any]:
    import tomllib

    from pydantic import ValidationError

    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingError(f"{path} is not TOML: {error}") from error
    try:
        return _model(path, document)
    except ValidationError as error:
        raise _explain(path, error) from error


def _model(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Check the file against its model; built here so that only a host with a config file pays for pydantic."""
    from typing import Annotated

    from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

    def duration(value: object) -> timedelta:
        if not isinstance(value, str):
            raise ValueError('write a duration in quotes, as in "30s"')
        return _as_value_error(lambda: parse_duration(value).elapsed)

    span = Annotated[timedelta, BeforeValidator(duration)]
    word = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]*$")]
    zone = Annotated[str, AfterValidator(lambda value: _as_value_error(lambda: check_zone(value)))]

    class HandlerModel(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        exec: Annotated[list[word], Field(min_length=1)]
        timeout: span = timedelta(seconds=30)
        max_attempts: Annotated[int, Field(ge=1, le=1000)] = 8
        backoff: span = timedelta(seconds=10)
        max_backoff: span = timedelta(hours=1)
        concurrency: Annotated[int, Field(ge=1, le=256)] = 8

    class FileModel(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        database_url: word | None = None
        timezone: zone | None = None
        handlers: dict[Annotated[str, StringConstraints(min_length=1, max_length=255)], HandlerModel] = {}

    model = FileModel.model_validate(document)
    handlers = {
        name: HandlerConfig(
            name=name,
            exec=tuple(handler.exec),
            timeout=handler.timeout,
            concurrency=handler.concurrency,
            retry=RetryPolicy(handler.max_attempts, handler.backoff, handler.max_backoff),
        )
        for name, handler in model.handlers.items()
    }
    return {"database_url": model.database_url, "timezone": model.timezone, "handlers": handlers}


def _as_value_error(check: Callable[[], T]) -> T:
    """pydantic collects ValueErrors; ours are no such thing."""
    try:
        return check()
    except WaitStepError as error:
        raise ValueError(error.message) from error


def _explain(path: Path, error: ValidationError) -> InvalidSettingError:
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InvalidSettingError(f"{path}: unknown key {key!r}")
    return InvalidSettingError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}")
