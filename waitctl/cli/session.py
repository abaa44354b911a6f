"""What one run of the command line shares: the global options, and what they lead to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.output import say
from waitctl.cli.stopping import read
from waitctl.domain.errors import (
    DatabaseNotFoundError,
    DatabaseUnreachableError,
    InvalidInputError,
    InvalidSettingError,
)
from waitctl.domain.values import dataclass

if TYPE_CHECKING:
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Database

WaitArgument = Annotated[
    str, typer.Argument(metavar="WAIT", help="A wait's id, or its first or last 8 or more characters.")
]


@dataclass(slots=True)
class Session:
    """The global options. Reads settings and opens the database when a command asks."""

    database_url: str | None = None
    config: str | None = None
    verbose: int = 0
    inline_command: tuple[str, ...] | None = None
    """What stands behind ``--``; None without one."""
    _settings: Settings | None = field(default=None, repr=False)

    def settings(self) -> Settings:
        """The settings: flags over environment over file over defaults."""
        if self._settings is None:
            from waitctl.infrastructure.config import load_settings

            self._settings = load_settings(database_url=self.database_url, config=self.config)
        return self._settings

    def database(self, *, create: bool = False, as_of: datetime | None = None) -> Database:
        """The database. Only with ``create`` is a missing SQLite file made."""
        return self._open(self.settings().database_url, create=create, as_of=as_of)

    def _open(self, url: str, *, create: bool = False, as_of: datetime | None = None) -> Database:
        from waitctl.infrastructure.database import Database

        if self.verbose > 1:
            from waitctl.infrastructure.sql_log import log_statements

            log_statements()
        return Database(url, as_of=as_of or self.settings().as_of, create=create)

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """The database for what is only looked at: the replica, if there is one. Says how old what it shows is.

        Raises `InvalidSettingError` and `DatabaseError`, which name the setting.
        """
        settings = self.settings()
        if settings.read_url is None:
            with self.database() as database:
                yield database
            return
        try:
            replica = self._open(settings.read_url)
        except InvalidSettingError as error:
            raise InvalidSettingError(f"read_url: {error.message}", hint=error.hint) from error
        try:
            with replica:
                self._say_how_old(replica)
                yield replica
        except (DatabaseUnreachableError, DatabaseNotFoundError) as error:
            error.hint = "it is the read_url: without that, the database itself is asked"
            raise

    def _say_how_old(self, replica: Database) -> None:
        from waitctl.infrastructure.replicas import STALE_AFTER, age_of

        age = age_of(replica)
        if (age is not None and age > STALE_AFTER) or self.verbose or (sys.stderr is not None and sys.stderr.isatty()):
            from waitctl.domain.durations import format_timedelta

            how_old = "which may be behind" if age is None else f"a replica: as of {format_timedelta(age)} ago"
            say(f"note: read from {replica.name}, {how_old}")

    @contextmanager
    def database_to_try(self, *, dry_run: bool) -> Iterator[Database]:
        """The database, which is made if it is missing; for a dry run without one, one that is thrown away."""
        with self.database(create=not dry_run) as database:
            if not dry_run or database.path is None or database.path.exists():
                yield database
                return
            import tempfile

            from waitctl.infrastructure.database import Database

            with (
                tempfile.TemporaryDirectory(prefix="waitctl-") as folder,
                Database(f"sqlite:///{Path(folder) / 'waitctl.db'}", as_of=database.as_of) as thrown_away,
            ):
                yield thrown_away

    @property
    def actor(self) -> str:
        """Who the audit trail names: the user as the system knows it, whatever the environment says, at this host."""
        from waitctl.infrastructure.database import host_name
        from waitctl.infrastructure.file_trust import user_name

        return f"{user_name(os.geteuid())}@{host_name()}"

    def say_when_nothing_ticks(self, database: Database) -> None:
        """Say so on standard error, to somebody who looks: without a tick no wait ends."""
        if not (self.verbose or (sys.stderr is not None and sys.stderr.isatty())):
            return
        from waitctl.application.heartbeat import REMEDY, silence

        if (words := silence(database)) is not None:
            same = " (with the same --database-url)" if self.database_url else ""
            say(f"note: {words}; {REMEDY}{same}")

    def warn(self, message: str) -> None:
        """Say something on standard error when asked to be verbose."""
        if self.verbose:
            say(message)

    def say_when_time_is_pretended(self) -> None:
        """Say so on standard error, on a terminal: a WAITCTL_AS_OF that was left over makes every wait a riddle."""
        at = self.settings().as_of
        if at is not None and sys.stderr is not None and sys.stderr.isatty():
            from waitctl.domain.instants import format_instant

            say(f"note: WAITCTL_AS_OF is set: it is {format_instant(at)} for this command")


def session_of(context: typer.Context) -> Session:
    """The session that the root command made."""
    session = context.find_object(Session)
    assert session is not None
    return session


def read_text_option(
    name: str, given: str | None, raw: str | None, what: str, error: type[InvalidInputError]
) -> str | None:
    """The text of ``--NAME`` as `read_text_argument` has it, or of ``--NAME-raw``, which is itself whatever it says.

    Raises Typer's ``BadParameter`` when both are given.
    """
    if given is not None and raw is not None:
        raise typer.BadParameter(f"--{name} and --{name}-raw: give one of them", param_hint=f"--{name}")
    return raw if given is None else read_text_argument(given, what, error)


def read_text_argument(value: str, what: str, error: type[InvalidInputError]) -> str:
    """The text of an argument given as itself, as ``@FILE`` or as ``-`` (standard input)."""
    if value == "-":
        return read_standard_input(what, error)
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "it is not UTF-8"
        raise error(f"cannot read {what} from {value[1:]}: {reason}") from cause


def read_standard_input(what: str, error: type[InvalidInputError]) -> str:
    """All of standard input as UTF-8. Raises ``error`` when it is closed or no UTF-8."""
    if sys.stdin is None:
        raise error(f"cannot read {what}: standard input is closed")
    try:
        return read(sys.stdin.buffer).decode()
    except UnicodeDecodeError as cause:
        raise error(f"cannot read {what}: standard input is not UTF-8") from cause
