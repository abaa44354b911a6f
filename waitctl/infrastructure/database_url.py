"""The address of a database, as people write it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.patterns import pattern
from waitctl.domain.values import dataclass, replace

_AUTHORITY = pattern(
    r"(?P<scheme>postgres\w*(?:\+\w+)?)://(?P<user>[^/?@]*@)?(?P<hosts>[^/?@]*)(?P<rest>.*)", re.DOTALL
)
_HOST = pattern(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:,\s]*)(?::(?P<port>\d*))?")


_URL = pattern(
    r"(?P<drivername>[\w+]+)://"
    r"(?:(?P<username>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<literal>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)


@dataclass(frozen=True, slots=True)
class Url:
    """An address in its parts, as SQLAlchemy divides one. An option that is there twice has its values in a list."""

    drivername: str
    username: str | None = None
    password: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    query: Mapping[str, str | list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Url:
        """The URL in a text. Raises `ValueError` when there is none."""
        found = _URL.match(text)
        if found is None:
            raise ValueError("no URL")
        query: dict[str, str | list[str]] = {}
        for key, value in _pairs(found["query"]):
            before = query.get(key)
            query[key] = value if before is None else [*([before] if isinstance(before, str) else before), value]
        username, password, database = (_unquoted(found[name]) for name in ("username", "password", "database"))
        port = int(found["port"]) if found["port"] else None
        return cls(found["drivername"], username, password, found["host"] or found["literal"], port, database, query)

    def set(self, **parts: Any) -> Url:
        """The URL with other parts."""
        return replace(self, **parts)

    def get_backend_name(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.drivername.partition("+")[0]

    def render_as_string(self, *, hide_password: bool = True) -> str:
        """The URL as a text."""
        from urllib.parse import quote, quote_plus

        text = f"{self.drivername}://"
        if self.username is not None:
            text += quote(self.username, safe=" +")
            if self.password is not None:
                text += ":" + ("***" if hide_password else quote(self.password, safe=" +"))
            text += "@"
        if self.host is not None:
            text += f"[{self.host}]" if ":" in self.host else self.host
        text += "" if self.port is None else f":{self.port}"
        text += "" if self.database is None else f"/{quote(self.database, safe=' +/')}"
        options = [(key, each) for key in sorted(self.query) for each in _values(self.query[key])]
        return text + ("?" if options else "") + "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in options)

    def options(self) -> dict[str, Any]:
        """What libpq is told. Several hosts, each with its port or with none, are lists with commas."""
        parts: Mapping[str, Any] = {
            "user": self.username,
            "password": self.password,
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
        }
        options = {key: value for key, value in parts.items() if value} | dict(self.query)
        if isinstance(hosts := options.get("host"), list):  # ?host=h1:1&host=h2:2
            places = [each.partition(":") for each in hosts]
            options["host"] = ",".join(host for host, _, _ in places)
            options["port"] = ",".join(port for _, _, port in places)
        return options


def _pairs(query: str | None) -> Sequence[tuple[str, str]]:
    if not query:
        return ()
    from urllib.parse import parse_qsl

    return parse_qsl(query)


def _unquoted(text: str | None) -> str | None:
    if text is None or "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _values(value: str | list[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def parse_url(text: str) -> Url:
    """The URL with the driver that speaks to it. Raises `InvalidSettingError` for what is no URL of ours.

    Several hosts, as libpq has them, become the options ``host`` and ``port``. What is wrong with a URL is said without
    any of its text: a password may be a part of it.
    """
    try:
        url = Url.of(_hosts_as_options(text))
    except ValueError:
        raise _invalid() from None
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite" and url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"} or url.host or url.username or url.password:
            raise InvalidSettingError("an SQLite database needs a file", hint="as in sqlite:///waits.db")
        if not Path(url.database or "").name:
            raise InvalidSettingError(f"{url.database} is a folder, no file", hint="as in sqlite:///waits.db")
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
    from urllib.parse import urlencode

    if not all(places):
        raise _invalid("its hosts cannot be read")
    path, _, query = rest.partition("?")
    ports = [place["port"] or "" for place in places if place]
    options = {"host": ",".join(place["host"].strip("[]") for place in places if place)}
    if any(ports):
        options["port"] = ",".join(port or "5432" for port in ports)
    return f"{scheme}://{user}{path or '/'}?{urlencode(options)}{query and f'&{query}'}"


def _check_options(url: Url) -> None:
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


def _ports(url: Url) -> Sequence[str]:
    among = url.query.get("port", "")
    given = among.split(",") if isinstance(among, str) else among
    return [*([] if url.port is None else [str(url.port)]), *filter(None, given)]


def _is_port(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 65535
