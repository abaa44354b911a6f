"""Which format a stream or a webhook has. Apart from the webhooks, since a stream needs nothing of them."""

from __future__ import annotations

from waitctl.domain.errors import InvalidSettingError
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.providers import names

NDJSON = "ndjson"


def format_of(settings: Settings, format_: str | None, source: str | None) -> str:
    """The format that was asked for, else that of the source, else NDJSON. Raises `InvalidSettingError`."""
    config = settings.sources.get(source or "")
    chosen = format_ or (config.format if config else None) or NDJSON
    if chosen not in (formats := (NDJSON, *names())):
        where = "--format" if format_ else f"sources.{source}.format"
        raise InvalidSettingError(f"{where}: {chosen!a} is no format", hint=", ".join(formats))
    return chosen


def require_unsigned(settings: Settings, source: str) -> None:
    """Raise `InvalidSettingError` for NDJSON of a source that is to be verified: nothing signs NDJSON."""
    config = settings.sources.get(source)
    if config and config.has_secret:
        raise InvalidSettingError(
            f"[sources.{source}] has a secret, and nothing signs NDJSON", hint="give --no-verify to take it unverified"
        )
