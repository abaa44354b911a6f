"""The address of a database, as people write it."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from waitctl.domain.errors import InvalidSettingError


def parse_url(text: str) -> URL:
    """The URL with the driver that speaks to it. Raises `InvalidSettingError` for what is no URL of ours."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InvalidSettingError(
            "the database URL is not valid", hint="as in sqlite:///waits.db or postgresql://user@host/name"
        ) from error
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite" and url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"}:
            raise InvalidSettingError("an SQLite database needs a file", hint="as in sqlite:///waits.db")
        if "?" in text and not (url.database or "").startswith("file:"):
            raise InvalidSettingError("an SQLite URL takes no parameters", hint="write a ? in a path as %3F")
        return url.set(drivername="sqlite+pysqlite")
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    raise InvalidSettingError(
        f"the database URL has the scheme {url.drivername!r}", hint="waitctl speaks sqlite:// and postgresql://"
    )
