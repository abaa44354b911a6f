"""Connections, transactions, the clock and migrations: what differs between SQLite and PostgreSQL lives here."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from waitctl.domain import clocks
from waitctl.domain.errors import (
    DatabaseDamagedError,
    DatabaseUnreachableError,
    InvalidSettingError,
    SchemaVersionError,
    UnsafeConnectionError,
    UnsafeFileError,
)
from waitctl.domain.instants import format_instant
from waitctl.infrastructure import executor
from waitctl.infrastructure.database_errors import RESTORE, RETRIED_STATES, of_driver, translated_errors
from waitctl.infrastructure.database_url import Url, parse_url
from waitctl.infrastructure.engines import Listener, Postgresql, Sqlite, listen
from waitctl.infrastructure.executor import Engine
from waitctl.infrastructure.file_trust import check_files, check_owner, file_identity, opened
from waitctl.infrastructure.patience import Patience
from waitctl.infrastructure.redaction import redact, remember
from waitctl.infrastructure.schema_version import HEAD, read_revision, refuse_newer
from waitctl.infrastructure.sqlite_file import (
    BESIDE,
    prepare_file,
    require_file,
    sqlite_path,
)
from waitctl.infrastructure.sqlite_functions import MatchBudget, OwnConnection, add_functions
from waitctl.infrastructure.sqlite_log import held_by_another, log_identity
from waitctl.infrastructure.zone_rules import use_newest

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")

Connection = executor.Connection
"""What runs our statements in a transaction."""

Caller: TypeAlias = "Connection | sa.Connection"
"""What a caller hands in to make a call part of its own transaction."""

TOPIC_LOCK_SPACE = 0x77616974
"""The first key of our advisory locks ("wait" in ASCII), so that an application's own do not meet them."""

CHANNEL = "waitctl"
"""Where a transaction that changed something says so, to whoever listens; see `wakeup`."""

# One a transaction, and none for one that only looked.
_ANNOUNCE = """
SELECT pg_notify(CAST(%(channel)s AS text), CAST(%(who)s AS text)) WHERE pg_current_xact_id_if_assigned() IS NOT NULL
"""

# In the order of the buckets; the clock is asked once all are there.
_LOCK = {
    exclusive: f"SELECT clock_timestamp() FROM (SELECT count({function}(%(space)s::int, bucket))"
    " FROM unnest(CAST(%(buckets)s AS int[])) AS bucket) AS locked"
    for exclusive, function in ((True, "pg_advisory_xact_lock"), (False, "pg_advisory_xact_lock_shared"))
}

_TURN = 0.11
"""Seconds: longer than a writer of an SQLite file sleeps before it tries again."""

_RETRIES = 10

_SECONDS_TO_CLOSE = 10.0


class Database:
    """A database that waits live in. Opens nothing until it is used.

    ``url`` is ``sqlite:///FILE`` or ``postgresql://…``; ``as_of`` replaces the clock (time travel for tests of a
    flow); ``create`` lets a missing SQLite file be made. Raises `InvalidSettingError` for any other URL.
    """

    def __init__(self, url: str, *, as_of: datetime | None = None, create: bool = True) -> None:
        clocks.prepare(use_newest)
        self.url = parse_url(url)
        remember(url)
        self.as_of = as_of
        self.create = create
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.identity = os.urandom(8).hex()
        self.patience = Patience()
        self._engine: Engine | None = None
        self._is_at_head = False
        self._files: tuple[object, object] = (None, None)
        self._opening = Lock()
        # SQLite's writers wait for each other by sleeping; our own threads do it better.
        self._turn: AbstractContextManager[object] = Lock() if self.is_sqlite else nullcontext()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, wait: float = 0) -> None:
        """Close every connection: those at work when they have done theirs, for which ``wait`` seconds are waited."""
        engine, self._engine, self._is_at_head = self._engine, None, False
        if engine is not None:
            engine.close(wait)

    @property
    def name(self) -> str:
        """The database for people: a path, or a URL without its secrets."""
        return str(self.path) if self.path else redact(self._plain_url.render_as_string(hide_password=True))

    @property
    def resolved_url(self) -> str:
        """The URL with its password and an absolute path: it means the same in another folder."""
        url = self._plain_url if self.path is None else self._plain_url.set(database=str(self.path.absolute()))
        return url.render_as_string(hide_password=False)

    @property
    def _plain_url(self) -> Url:
        return self.url.set(drivername=self.url.get_backend_name())

    @property
    def path(self) -> Path | None:
        """The SQLite file; ``None`` on PostgreSQL and for an SQLite URI."""
        if not self.is_sqlite or not self.url.database or self.url.database.startswith("file:"):
            return None
        return Path(self.url.database)

    @property
    def file(self) -> Path | None:
        """The SQLite file, also of an SQLite URI; ``None`` on PostgreSQL."""
        return sqlite_path(self.url.database) if self.is_sqlite and self.url.database else None

    def check_private(self) -> None:
        """Check that nobody but this user can change what stands in the SQLite file that is open, or will be.

        Asks the system each time. Raises `UnsafeFileError`.
        """
        assert self.file is not None
        found = check_files(self.file, "the database", BESIDE)
        if found is not None and self._is_at_head and (self._files[0] != found or opened(found) == 0):
            raise UnsafeFileError(f"the database that is open is not the one at {self.file} any more")

    # -- transactions ---------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors by what they mean; what no healthy file would lead to is the damage of one that is not."""
        try:
            with translated_errors(lambda: self.name):
                yield
        except Exception as error:
            if isinstance(error, LookupError | TypeError | ValueError) or of_driver(error) is not None:
                self.check_pages()  # before it is called a defect of ours
            raise

    @contextmanager
    def read(self, connection: Caller | None = None) -> Iterator[Connection]:
        """A transaction that only reads. On a caller's ``connection``, the caller's."""
        with self._translated():
            if connection is not None:
                yield _session(connection)
                return
            with self._open().begin() as own:
                yield own

    def write(
        self,
        work: Callable[[Connection], T],
        connection: Caller | None = None,
        *,
        rollback: bool = False,
        is_news: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Run ``work`` in one transaction and return what it returns.

        An own transaction is run again after a deadlock or a serialization failure, and when matching takes too long
        for one (`sqlite_functions`), so ``work`` must touch nothing but the database. On a caller's ``connection`` it
        becomes part of the caller's transaction and is not retried;
        the caller commits, and who waits for the change learns of it by looking: a NOTIFY there would forbid the caller
        a two-phase commit. ``rollback`` undoes everything at the end (a dry run). ``is_news``: whether what came of it
        is anything that somebody may wait for.
        """
        with self._translated():
            if connection is not None:
                return work(_session(connection))
            engine, budget, attempt = self._open(), MatchBudget(), 0
            while True:
                try:
                    with self._turn, engine.begin(write=True) as own, _within(budget, own):
                        result = work(own)
                        if rollback:
                            own.driver.rollback()
                        elif not self.is_sqlite and is_news(result):
                            own.execute(_ANNOUNCE, {"channel": CHANNEL, "who": self.identity})
                        return result
                except Exception as error:
                    if budget.answer_open():
                        self.give_way()
                        continue
                    attempt += 1
                    if getattr(of_driver(error), "sqlstate", None) not in RETRIED_STATES or attempt == _RETRIES:
                        raise
                    time.sleep(0.005 * 2**attempt)  # the other transaction goes first

    def give_way(self) -> None:
        """Between two of many transactions: let others have the turn.

        Writers of an SQLite file queue nowhere: who finds it locked sleeps for up to a tenth of a second, and would
        find it locked again. PostgreSQL's locks are handed on.
        """
        if self.is_sqlite:
            time.sleep(_TURN)

    def require_safe(self, connection: Connection) -> None:
        """Refuse a caller's transaction in which a wake-up could get lost (semantics 21).

        PostgreSQL: it must be READ COMMITTED, since only there a statement after the topic lock sees what was
        committed before it. SQLite: it must hold the write lock, on a snapshot that is still the newest.
        Raises `UnsafeConnectionError`. Teaches the connection what our statements need of it.
        """
        if self.is_sqlite:
            try:
                connection.execute("DELETE FROM waitctl_tombstones WHERE 0")
            except sqlite3.OperationalError as error:
                raise UnsafeConnectionError(
                    "this transaction reads an old snapshot and cannot write",
                    hint="begin it with BEGIN IMMEDIATE",
                ) from error
            safe = connection.driver.in_transaction
            add_functions(connection.driver)
        else:
            level = connection.execute("SHOW transaction_isolation").scalar_one()
            safe = level == "read committed" and not connection.driver.autocommit
        if not safe:
            raise UnsafeConnectionError(
                "this transaction could lose a wake-up", hint="use one READ COMMITTED transaction"
            )

    def lock_topics(self, connection: Connection, buckets: Sequence[int], *, exclusive: bool) -> datetime:
        """Take the locks of these topic buckets until the transaction ends: creators exclusive, recorders shared.

        Returns the clock, read when they are held: what others had under them has happened before.
        Must be a statement of its own, before every read: a statement sees only what was committed when it began, so
        inside the matching statement the event that we waited for would stay invisible. Sorted, since the lock order
        is buckets → waits by id → listeners → deliveries. SQLite's writers already exclude each other, and a dry run
        may do without: nothing comes of it, so no wake-up can get lost.
        """
        if self.is_sqlite or not connection.locks_topics or not buckets:
            return self.clock(connection)
        wanted = {"space": TOPIC_LOCK_SPACE, "buckets": sorted(set(buckets))}
        at: datetime = connection.execute(_LOCK[exclusive], wanted).scalar_one()
        return self.as_of or at.astimezone(UTC)

    def clock(self, connection: Connection) -> datetime:
        """Now, in UTC: `as_of` if set, else the store's clock (PostgreSQL's; on SQLite this host's)."""
        return self.as_of or self.real_clock(connection)

    def dated(self, reason: str) -> str:
        """A reason for the audit trail, which says so when time is pretended."""
        return reason if self.as_of is None else f"as of {format_instant(self.as_of)}: {reason}"

    def real_clock(self, connection: Connection) -> datetime:
        """The store's clock, time travel or not. ``clock_timestamp()``: ``now()`` is the transaction's start."""
        if self.is_sqlite:
            return host_clock()
        at: datetime = connection.execute("SELECT clock_timestamp()").scalar_one()
        return at.astimezone(UTC)

    def is_read_only(self, connection: Connection) -> bool:
        """Whether the server takes no writes: a standby, or a primary that no longer is one. Not asked of a file."""
        if self.is_sqlite:
            return False
        return bool(connection.execute("SHOW transaction_read_only").scalar_one() == "on")

    def listen(self, channel: str) -> Listener | None:
        """Listen to a channel of PostgreSQL; ``None`` when no connection is to be had now."""
        return None if self.is_sqlite else listen(Postgresql(self.url, self.patience), channel)

    # -- the schema -----------------------------------------------------------------------------------------------

    def current_revision(self) -> str | None:
        """The migration the database is at; ``None`` when it has no tables of ours."""
        with translated_errors(lambda: self.name):
            if self.path is not None:
                require_file(self.path)
            with self._connectable().begin() as session:
                return read_revision(session)

    def check_pages(self) -> None:
        """Run SQLite's quick check. Raises `DatabaseDamagedError` with the first thing that it finds."""
        if self.path is None:
            return
        from waitctl.infrastructure.sqlite_backup import what_is_damaged

        with translated_errors(lambda: self.name), self._connectable().connect() as driver:
            if (found := what_is_damaged(driver)) is not None:
                raise DatabaseDamagedError(f"{self.name} is damaged: {found}", hint=RESTORE)

    def back_up(self, copy: Path) -> None:
        """Copy the SQLite file as it is at one moment, whatever runs meanwhile.

        Raises `InvalidSettingError` for PostgreSQL, `UnsafeFileError` when it is somebody else's, else what
        `sqlite_backup` raises.
        """
        if self.path is None:
            raise InvalidSettingError(
                "only an SQLite file is copied by waitctl", hint="PostgreSQL has pg_dump and pg_basebackup"
            )
        from waitctl.infrastructure.sqlite_backup import back_up

        require_file(self.path)
        check_owner(self.path, "the database", BESIDE)
        back_up(self.path, copy)

    @contextmanager
    def to_try(self) -> Iterator[Database]:
        """Where much may be written that is undone: no other writer is to wait for it.

        Of an SQLite file a copy as it is at one moment, which is thrown away, since one writer keeps all others out.
        Raises `DatabaseUnreachableError` where there is no room for it, and `UnsafeFileError`.
        """
        if not self.is_sqlite:
            yield self
            return
        from tempfile import TemporaryDirectory

        from waitctl.infrastructure.sqlite_backup import copy_of

        with TemporaryDirectory(prefix="waitctl-dry-run-") as folder:
            copy = Path(folder) / "waits.db"
            with self.read() as connection:
                copy_of(connection.driver, copy)
            with Database(f"sqlite:///{copy}", as_of=self.as_of) as scratch:
                yield scratch

    def upgrade(self, revision: str = "head") -> None:
        """Migrate to ``revision``. Several at once are safe: one works, the others find it done.

        An SQLite file that has tables is copied beside itself first. Raises `SchemaVersionError` for a revision
        that does not exist or a database newer than this waitctl.
        """
        with translated_errors(lambda: self.name):
            if self.path is not None:
                prepare_file(self.path)
            from waitctl.infrastructure import migrations
            from waitctl.infrastructure.sqlite_backup import copy_beside

            with self._connectable().begin(write=True) as session, self.patience.unlimited():
                if not self.is_sqlite:
                    session.execute("SELECT pg_advisory_xact_lock(%(space)s)", {"space": TOPIC_LOCK_SPACE})
                at = read_revision(session)
                refuse_newer(at, self.name)
                if at == revision or (revision == "head" and at == HEAD):
                    return
                if self.path is not None and session.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'"):
                    copy_beside(self.path, f"before-{at or 'base'}-to-{HEAD}")
                migrations.upgrade(session, revision)

    def _open(self) -> Engine:
        """The engine of a database that is at head, else an error; an SQLite file is brought there."""
        if (engine := self._current()) is not None:
            return engine
        with self._opening:
            return self._current() or self._open_anew()

    def _current(self) -> Engine | None:
        """What is open, if it can be gone on with: an SQLite file may have been moved away or replaced."""
        engine = self._engine if self._is_at_head else None
        if engine is None or self.file is None:
            return engine
        return engine if (file_identity(self.file), log_identity(self.file)) == self._files else None

    def _open_anew(self) -> Engine:
        if self.file is not None:
            self._let_go(self.file)
        if self.path is not None:
            if not self.create:
                require_file(self.path)
            if not self.path.exists():
                self.upgrade()
        engine = self._connectable()
        with engine.begin() as session:
            at = read_revision(session)
        refuse_newer(at, self.name)
        if at != HEAD:
            if not self.is_sqlite or (at is None and not self.create):
                found = f"is at {at}" if at else "has no waitctl tables"
                raise SchemaVersionError(
                    f"{self.name} {found}: this waitctl needs {HEAD}", hint="run: waitctl db upgrade"
                )
            self.upgrade()
        if self.path is not None:
            require_file(self.path)  # or what was taken away just now would pass for what is there
        if self.file is not None:
            self._files = file_identity(self.file), log_identity(self.file)
        self._is_at_head = True
        return engine

    def _let_go(self, path: Path) -> None:
        """Close what is open of a file that is not the one of that name any more.

        Raises `DatabaseUnreachableError` when it is its log that was taken away: what we go on writing to it, nobody
        could read.
        """
        if self._engine is None or not self._is_at_head:
            return
        if self._files[0] != file_identity(path):
            self.close()
            return
        with held_by_another(path) if any(log_identity(path)) else nullcontext():  # a log alone is saved when we close
            self.close(wait=_SECONDS_TO_CLOSE)
        raise DatabaseUnreachableError(f"the write-ahead log of {path} was removed while it was open")

    def _connectable(self) -> Engine:
        if self._engine is None:
            if self.file is not None:
                check_owner(self.file, "the database", BESIDE)
            self._engine = Engine((Sqlite if self.is_sqlite else Postgresql)(self.url, self.patience))
        return self._engine


@contextmanager
def _within(budget: MatchBudget, connection: Connection) -> Iterator[None]:
    """Let a transaction of ours on SQLite match no more than the budget."""
    if not isinstance(connection.driver, OwnConnection):
        yield
        return
    budget.begin()
    connection.driver.budget = budget
    try:
        yield
    finally:
        connection.driver.budget = None


def _session(connection: Caller) -> Connection:
    return connection if isinstance(connection, Connection) else Connection.of(connection)


def host_name() -> str:
    """This host's name, for the audit and the heartbeat."""
    return os.uname().nodename


def host_clock() -> datetime:
    """This host's clock: the only one on SQLite."""
    return datetime.now(UTC)
