"""Which format a stream or a webhook has. Apart from the webhooks, since a stream needs nothing of them."""

from __future__ import annotations

from collections.abc import Collection

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.text import did_you_mean
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.providers import names

NDJSON = "ndjson"


def format_of(settings: Settings, format_: str | None, source: str | None) -> str:
    """The format that was asked for, else that of the source, else NDJSON.

    Raises `InvalidSettingError` for a format that is none, for a source that the config does not have among others,
    and for one that is called as a provider where no config says so: it may be the config that is missing.
    """
    if source is not None and settings.sources:
        _require_section(settings.sources, source)
    config = settings.sources.get(source or "")
    if format_ is None and config is None and source in names():
        raise InvalidSettingError(f"the config has no [sources.{source}]", hint=f"or give --format {NDJSON}")
    chosen = format_ or (config.format if config else None) or NDJSON
    if chosen not in (formats := (NDJSON, *names())):
        where = "--format" if format_ else f"sources.{source}.format"
        raise InvalidSettingError(
            f"{where}: {chosen!a} is no format", hint=did_you_mean(chosen, formats) or ", ".join(formats)
        )
    return chosen


def _require_section(sections: Collection[str], source: str) -> None:
    """A name that is misspelled would be one without a secret."""
    if source not in sections:
        from difflib import get_close_matches  # only on the way out

        near = get_close_matches(source, sections, n=1) or sorted(sections)[:10]
        raise InvalidSettingError(f"the config has no [sources.{source}]", hint=f"it has {', '.join(near)}")
