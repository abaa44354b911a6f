"""Everyday work beside 10,000,000 open waits, against the same beside 10,000, on PostgreSQL.

Half of the waits are scheduled, half wait for an event of their contact, and each has the first line of its audit
trail. The database makes them itself, into tables whose indexes are made afterwards.

The databases stay on a server of one's own (``WAITCTL_TEST_POSTGRES_URL``), where the next run takes them as they are;
the run's own server takes them with it when it goes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count

from sqlalchemy.engine import make_url

from benchmarks.ingest import WAITS as LISTENING
from benchmarks.measure import Comparison, Setting, alternate, say, seconds
from benchmarks.rows import Kind, insert_postgresql
from waitctl import Database, EventQuery, EventService, Settings, Tick, WaitSchedulingService, WaitSpec, make_event
from waitctl.infrastructure.indexes import metadata
from waitctl.infrastructure.schema_version import HEAD

FEW = 10_000
DUE = 1_000
EACH = 20
"""Times that a command is repeated for one measurement."""

TABLES = ("workflow_wait_executions", "workflow_event_listeners", "workflow_wait_transitions")

TRAIL = """
INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id)
SELECT id, created_at, status, 'created', 'ada@host', workflow_execution_id FROM workflow_wait_executions;
"""

SIZES = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
 WHERE relname IN ({names}) ORDER BY relname;
"""


class Beside:
    """A database with so many open waits, and the work that is done beside them. Everything answers in milliseconds."""

    def __init__(self, database: Database, waits: int, make_due: Callable[[], object]) -> None:
        self._database, self._half, self._make_due = database, waits // 2, make_due
        self._service = WaitSchedulingService(database)
        self._events = EventService(database)
        self._run = secrets.token_hex(4)
        self._number = count()

    def idle_tick(self) -> float:
        """A tick that finds nothing to do."""
        return self._each(lambda: Tick(self._database, Settings("")).run())

    def due_tick(self) -> float:
        """A tick with a thousand due waits."""
        self._make_due()
        return 1000 * seconds(lambda: Tick(self._database, Settings("")).run())

    def create(self) -> float:
        """A wait of a fixed time, under a key."""
        return self._each(lambda: self._service.create_fixed_time_wait("3d", self._spec()))

    def create_event_wait(self) -> float:
        """A wait for an event."""
        return self._each(lambda: self._service.create_event_wait(EventQuery(("email_open",)), self._spec()))

    def record_matching(self) -> float:
        """An event that somebody waits for, anywhere among them."""
        return self._each(lambda: self._record(f"user-{1 + secrets.randbelow(self._half)}@example.org"))

    def record_unmatched(self) -> float:
        """An event that nobody waits for."""
        return self._each(lambda: self._record(f"stranger-{self._run}@example.org"))

    def status(self) -> float:
        """The status of a step by its execution, anywhere among them."""
        return self._each(
            lambda: self._service.get_step_status(f"signup-{1 + secrets.randbelow(self._half)}", "clicked")
        )

    def pending(self) -> float:
        """The counts of what is open."""
        return self._each(self._service.list_pending_waits)

    def list_newest(self) -> float:
        """The newest fifty."""
        return self._each(lambda: self._service.list_waits(limit=50))

    def _spec(self) -> WaitSpec:
        name = f"order-{self._run}-{next(self._number)}"
        return WaitSpec(name, "nudge", contact_id=f"{name}@example.org", idempotency_key=name, handler="nudge")

    def _record(self, contact: str) -> None:
        self._events.record(make_event("email_click", contact, external_id=f"{self._run}-{next(self._number)}"))

    def _each(self, work: Callable[[], object]) -> float:
        def times() -> None:
            for _ in range(EACH):
                work()

        return 1000 * seconds(times) / EACH


WORK: Sequence[tuple[str, Callable[[Beside], float]]] = (
    ("tick, idle", Beside.idle_tick),
    ("tick, 1,000 due", Beside.due_tick),
    ("create fixed-time", Beside.create),
    ("create for-event", Beside.create_event_wait),
    ("event record, matching", Beside.record_matching),
    ("event record, unmatched", Beside.record_unmatched),
    ("status of a step", Beside.status),
    ("pending", Beside.pending),
    ("list --limit 50", Beside.list_newest),
)


def scale(setting: Setting) -> list[Comparison]:
    """Each kind of work, pair by pair."""
    many = 1_000_000 if setting.quick else 10_000_000
    with ExitStack() as stack:
        ours, theirs = (_loaded(setting, stack, waits) for waits in (many, FEW))
        return [_compared(what, work, ours, theirs, many, setting) for what, work in WORK]


def _compared(
    what: str, work: Callable[[Beside], float], ours: Beside, theirs: Beside, many: int, setting: Setting
) -> Comparison:
    for _ in range(2):
        work(ours), work(theirs)  # caches warm, connections open
    pairs = alternate(
        f"scale: {what}", lambda: work(ours), lambda: work(theirs), pairs=7 if setting.quick else 15, silent=True
    )
    compared = Comparison(f"scale: {what}, beside {many:,} / {FEW:,}", "µs", *_micros(pairs), at_most=1.3)
    say(f"scale: {what}: {compared.ratio:.2f}")
    return compared


def _micros(pairs: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
    ours, theirs = ([1000 * each for each in figures] for figures in pairs)
    return ours, theirs


def _loaded(setting: Setting, stack: ExitStack, waits: int) -> Beside:
    """The database with so many open waits; filled, unless it is there from an earlier run."""
    name = f"waitctl_scale_{HEAD}_{waits}"
    url = make_url(setting.cluster.url).set(database=name).render_as_string(hide_password=False)
    database = stack.enter_context(Database(url))
    if not setting.cluster.psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        setting.cluster.psql("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        database.upgrade()
        took = seconds(lambda: _fill(setting, name, waits))
        say(f"scale: {waits:,} waits loaded in {took:,.0f} s, {waits / took:,.0f} a second")
    _say_sizes(setting, name, waits)
    return Beside(database, waits, lambda: setting.cluster.psql(name, insert_postgresql(Kind.DUE, DUE)))


def _fill(setting: Setting, name: str, waits: int) -> None:
    names = ", ".join(f"'{index.name}'" for table in TABLES for index in metadata.tables[table].indexes)
    definitions = setting.cluster.psql(
        name, f"SELECT indexdef || ';' FROM pg_indexes WHERE indexname IN ({names})"
    ).splitlines()
    dropped = "".join(f"DROP INDEX {index.name};" for table in TABLES for index in metadata.tables[table].indexes)
    # No trigger looks for the wait of each listener: they are made of the waits.
    begin = f"SET maintenance_work_mem = '1GB'; SET session_replication_role = replica; {dropped}"
    rows = LISTENING.format(waits=waits // 2) + insert_postgresql(Kind.LATER, waits // 2)
    rows += TRAIL
    setting.cluster.psql(name, f"{begin}{rows}{''.join(definitions)}VACUUM ANALYZE;CHECKPOINT;")


def _say_sizes(setting: Setting, name: str, waits: int) -> None:
    names = ", ".join(f"'{table}'" for table in TABLES)
    for line in setting.cluster.psql(name, SIZES.format(names=names)).splitlines():
        table, rows, indexes = line.split("|")
        say(f"scale: {table} at {waits:,} waits: {int(rows) / 2**20:,.0f} MiB, indexes {int(indexes) / 2**20:,.0f} MiB")
