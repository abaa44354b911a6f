"""The address of a database, as people write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from waitctl.domain.errors import InvalidSettingError

_AUTHORITY = re.compile(
    r"(?P<scheme>postgres\w*(?:\+\w+)?)://(?P<user>[^/?@]*@)?(?P<hosts>[^/?@]*)(?P<rest>.*)", re.DOTALL
)
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:,\s]*)(?::(?P<port>\d*))?")


def parse_url(text: str) -> URL:
    """The URL with the driver that speaks to it. Raises `InvalidSettingError` for what is no URL of ours.

    Several hosts, as libpq has them, become the options ``host`` and ``port``. What is wrong with a URL is said without
    any of its text: a password may be a part of it.
    """
    try:
        url = make_url(_hosts_as_options(text))
    except (ArgumentError, ValueError):
        raise _invalid() from None
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite" and url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"} or url.host or url.username or url.password:
            raise InvalidSettingError("an SQLite database needs a file", hint="as in sqlite:///waits.db")
        if "?" in text and not (url.database or "").startswith("file:"):
            raise InvalidSettingError("an SQLite URL takes no parameters", hint="write a ? in a path as %3F")
        return url.set(drivername="sqlite+pysqlite")
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        _check_options(url)
        return url.set(drivername="postgresql+psycopg")
    raise InvalidSettingError(
        f"the database URL has the scheme {url.drivername!r}", hint="waitctl speaks sqlite:// and postgresql://"
    )


def _invalid(what: str = "", hint: str = "as in sqlite:///waits.db or postgresql://user@host/name") -> Exception:
    return InvalidSettingError(f"the database URL is not valid{what and f': {what}'}", hint=hint)


def _hosts_as_options(text: str) -> str:
    """The text, but for ``h1:1,h2:2`` between user and path: SQLAlchemy knows several hosts as options only."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return text
    scheme, user, hosts, rest = found["scheme"], found["user"] or "", found["hosts"], found["rest"]
    if "@" in rest.partition("?")[0]:  # what stands before it may belong to the password
        raise _invalid("it has an @ behind its host", "write an @ in a name or a password as %40, a / as %2F")
    places = [_HOST.fullmatch(each) for each in hosts.split(",")]
    if len(places) == 1:
        return text
    if not all(places):
        raise _invalid("its hosts cannot be read")
    path, _, query = rest.partition("?")
    ports = [place["port"] or "" for place in places if place]
    options = {"host": ",".join(place["host"].strip("[]") for place in places if place)}
    if any(ports):
        options["port"] = ",".join(port or "5432" for port in ports)
    return f"{scheme}://{user}{path or '/'}?{urlencode(options)}{query and f'&{query}'}"


def _check_options(url: URL) -> None:
    """Raise `InvalidSettingError` for options that libpq does not know, and for ports and hosts that cannot be."""
    if re.search(r"[\[\]@\s]", url.host or ""):
        raise _invalid("its host cannot be read")
    if not all(_is_port(port) for port in _ports(url)):
        raise _invalid("a port is a number between 1 and 65535")
    if not url.query:
        return
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if not known.issuperset(url.query):
        raise _invalid("it has an option that PostgreSQL does not know")
    if any(not isinstance(value, str) for key, value in url.query.items() if key != "host"):
        raise _invalid("it has an option twice")


def _ports(url: URL) -> Sequence[str]:
    among = url.query.get("port", "")
    given = among.split(",") if isinstance(among, str) else among
    return [*([] if url.port is None else [str(url.port)]), *filter(None, given)]


def _is_port(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 65535
