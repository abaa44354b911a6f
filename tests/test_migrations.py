"""The migrations make the schema that the code works with, on both databases, and undo it.

Alembic's comparison does not see a changed CHECK or index predicate: the catalogs are compared as well, and the CHECKs
are tried.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from waitctl import Database, EventService, WaitSchedulingService, WaitSpec, make_event
from waitctl.domain.errors import SchemaVersionError
from waitctl.infrastructure import migrations
from waitctl.infrastructure.indexes import metadata
from waitctl.infrastructure.schema_version import HEAD, VERSION_TABLE

ROOT = Path(__file__).parent.parent


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    """A database of each kind without a table; on SQLite the file is not there yet."""
    if url.startswith("sqlite"):
        yield url.replace("waits.db", "empty.db")
        return
    cluster, name = request.getfixturevalue("cluster"), f"waitctl_{uuid.uuid4().hex}"
    yield cluster.create(name)
    cluster.drop(name)


def execute(database: Database, statement: str) -> None:
    database.write(lambda connection: connection.execute(sa.text(statement)))


def downgrade(database: Database) -> None:
    database.write(lambda connection: migrations.downgrade(connection, "base"))


# -- what the schema is ------------------------------------------------------------------------------------------------

CATALOG = """
SELECT 'column ' || table_name || '.' || column_name,
       concat_ws(' ', udt_name, is_nullable, column_default, is_identity, identity_generation)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'type ' || typname, string_agg(enumlabel, ',' ORDER BY enumsortorder)
  FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid GROUP BY typname
UNION ALL SELECT 'function ' || proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


core = migrations.core


def catalog(connection: sa.Connection) -> dict[str, Any]:
    """Everything the database says about its tables but the version table's, in a form to compare."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(sa.text(CATALOG))
        return {row[0]: row[1] for row in rows if VERSION_TABLE not in row[0]}
    rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {row[0]: normalized(row[1]) for row in rows if row[0] not in {VERSION_TABLE, "sqlite_sequence"}}


def normalized(statement: str) -> Any:
    """A CREATE TABLE as the set of its columns and constraints, whatever their order, spaces and quotes."""
    flat = re.sub(r"\s+", " ", statement.replace('"', "")).replace("( ", "(").replace(" )", ")")
    if not flat.startswith("CREATE TABLE"):
        return flat
    head, _, body = flat.partition("(")
    parts, depth = [""], 0
    for character in body.rstrip()[:-1]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return head, sorted(part.strip() for part in parts)


def catalog_of(url: str) -> dict[str, Any]:
    with Database(url) as database, database.read() as connection:
        return catalog(core(connection))


def bare_catalog(database: Database) -> dict[str, Any]:
    """The catalog of a database that has no tables of ours, which `Database` would refuse or migrate."""
    engine = sa.create_engine(database.url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        found = catalog(connection)
    engine.dispose()
    return found


def test_the_head_that_the_code_knows_is_the_newest_migration() -> None:
    assert migrations.head() == HEAD


def test_no_module_shadows_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def imported(path: Path) -> set[str]:
    """The packages that a module imports, at its top or within."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_a_migration_says_itself_what_it_makes() -> None:
    """What it took from the package would change with the package, and an old database would get a new schema."""
    versions = sorted((ROOT / "alembic" / "versions").glob("*.py"))
    assert versions
    frozen = {"sqlalchemy", "alembic"} | sys.stdlib_module_names
    assert {path.name: imported(path) - frozen for path in versions} == {path.name: set() for path in versions}


def test_alembic_finds_no_difference(database: Database) -> None:
    database.upgrade()
    with database.read() as connection:
        context = MigrationContext.configure(
            core(connection),
            opts={
                "compare_type": True,
                "version_table": VERSION_TABLE,
                "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_is_the_metadatas(database: Database, empty_url: str) -> None:
    """Catalog against catalog: types, defaults, CHECKs, index columns and predicates."""
    database.upgrade()
    with database.read() as connection:
        migrated = catalog(core(connection))
    engine = sa.create_engine(
        sa.make_url(empty_url).set(drivername="sqlite" if database.is_sqlite else "postgresql+psycopg")
    )
    with engine.begin() as connection:
        if not database.is_sqlite:
            with database.read() as source:
                definition = "SELECT pg_get_functiondef('waitctl_uuidv7'::regproc)"
                connection.exec_driver_sql(core(source).exec_driver_sql(definition).scalar_one().replace("%", "%%"))
        metadata.create_all(connection)
        assert catalog(connection) == migrated
    engine.dispose()
    assert len(migrated) > 20


def test_upgrade_downgrade_upgrade(database: Database, empty_url: str) -> None:
    with Database(empty_url) as other:
        other.upgrade()
        with other.read() as connection:
            first = catalog(core(connection))
        downgrade(other)
        assert other.current_revision() is None
        assert bare_catalog(other) == {}
        other.upgrade()
        with other.read() as connection:
            assert catalog(core(connection)) == first
        assert other.current_revision() == HEAD


def test_the_printed_ddl_makes_the_same_schema(url: str, empty_url: str) -> None:
    ddl = migrations.script("sqlite://" if url.startswith("sqlite") else "postgresql+psycopg://")
    if url.startswith("sqlite"):
        import sqlite3

        file = sqlite3.connect(sa.make_url(empty_url).database or "")
        file.executescript(ddl)
        file.close()
        with Database(url) as database:
            database.upgrade()
    else:
        plain = sa.make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(ddl.encode())
    assert catalog_of(empty_url) == catalog_of(url)
    with Database(empty_url) as database:
        assert database.current_revision() == HEAD
        assert WaitSchedulingService(database).create_fixed_time_wait("1h", WaitSpec("execution")).created


# -- when it migrates --------------------------------------------------------------------------------------------------


def test_a_newer_schema_is_refused(database: Database) -> None:
    database.upgrade()
    execute(database, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    database.close()
    for job in (database.upgrade, lambda: WaitSchedulingService(database).list_pending_waits()):
        with pytest.raises(SchemaVersionError, match="9999, newer than this waitctl"):
            job()
    assert database.current_revision() == "9999"


def test_a_revision_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(SchemaVersionError, match="cannot migrate to 'nonsense'"):
        database.upgrade("nonsense")


def test_a_postgresql_database_behind_is_refused(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        downgrade(database)
        database.close()
        with pytest.raises(SchemaVersionError) as refused:
            WaitSchedulingService(database).list_pending_waits()
        assert refused.value.hint == "run: waitctl db upgrade"


@pytest.mark.parametrize("planted", ["a file", "a link to a file", "a link to nowhere", "a folder"])
def test_a_copy_takes_nobodys_place(sqlite_url: str, tmp_path: Path, planted: str) -> None:
    """What stands under its name was put there by somebody, and is neither written to nor followed."""
    name = f"waits.db.before-base-to-{HEAD}"
    victim, place = tmp_path / "victim.db", tmp_path / name
    victim.write_text("precious")
    victim.chmod(0o666)
    if planted == "a file":
        victim.rename(place)
        victim = place
    elif planted == "a folder":
        place.mkdir()
    else:
        place.symlink_to(victim if planted == "a link to a file" else tmp_path / "nowhere")
    with Database(sqlite_url) as database:
        database.upgrade()
        downgrade(database)
        database.close()
        WaitSchedulingService(database).create_fixed_time_wait("1h", WaitSpec("execution"))
    assert victim.read_text() == "precious"
    copy = tmp_path / f"{name}.2"
    assert copy.stat().st_mode & 0o777 == 0o600 and not copy.is_symlink()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    left = {each.name for each in tmp_path.iterdir()}
    assert left <= {"waits.db", "waits.db-wal", "waits.db-shm", "victim.db", name, copy.name}


def test_an_existing_sqlite_file_is_copied_before_it_is_migrated(sqlite_url: str, tmp_path: Path) -> None:
    with Database(sqlite_url) as database:
        database.upgrade()
        assert [path.name for path in tmp_path.glob("*before*")] == [], "a new file has nothing to lose"
        downgrade(database)
        execute(database, "CREATE TABLE orders AS SELECT 17 AS id")
        database.close()
        WaitSchedulingService(database).create_fixed_time_wait("1h", WaitSpec("execution"))
        database.close()
    (copy,) = tmp_path.glob("*before*")
    assert copy.name == f"waits.db.before-base-to-{HEAD}"
    assert copy.stat().st_mode & 0o077 == 0, "contacts and contexts: the owner's business"
    engine = sa.create_engine(f"sqlite:///{copy}")
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id FROM orders")).scalar_one() == 17
        assert set(sa.inspect(connection).get_table_names()) == {"orders", VERSION_TABLE}
    engine.dispose()


def test_the_tables_of_another_application_are_left_alone(database: Database) -> None:
    database.upgrade()
    downgrade(database)
    for statement in (
        "CREATE TABLE alembic_version (version_num text)",
        "INSERT INTO alembic_version VALUES ('theirs')",
        "CREATE TABLE events (id integer)",
        "CREATE INDEX ix_theirs ON events (id)",
    ):
        execute(database, statement)
    with database.read() as connection:
        before = catalog(core(connection))
    database.upgrade()
    with database.read() as connection:
        assert before.items() <= catalog(core(connection)).items()
    downgrade(database)
    assert bare_catalog(database) == before


def test_what_waits_is_still_waited_for_after_an_upgrade(database: Database) -> None:
    """A wait of the schema before groups; its listener has none of the new columns."""
    database.upgrade()
    database.write(lambda connection: migrations.downgrade(connection, "0002"))

    def fill(connection: sa.Connection) -> None:
        insert(
            connection,
            "workflow_wait_executions",
            wait_type="'for_event'",
            status="'waiting'",
            scheduled_at="NULL",
            contact_id="'ada'",
        )
        insert(connection, "workflow_event_listeners")

    engine = sa.create_engine(database.url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    database.upgrade()
    service = WaitSchedulingService(database)
    ((status,), _) = service.list_waits()
    (listener,) = status.wait.listeners
    assert (listener.group_no, listener.needed, listener.human, listener.diagnostic) == (0, 1, False, None)
    assert EventService(database).record(make_event("email_open", "ada")).matched == (status.wait.id,)


# -- what it guards ----------------------------------------------------------------------------------------------------

AT = "'2026-06-01 00:00:00.000000'"
ID = "'01a20000-0000-7000-8000-00000000000{}'"
WAIT = {
    "id": ID.format(1),
    "workflow_execution_id": "'execution'",
    "step_id": "'step'",
    "wait_type": "'fixed_time'",
    "status": "'scheduled'",
    "scheduled_at": AT,
    "timezone": "'UTC'",
    "wait_config": "'{}'",
    "created_at": AT,
    "updated_at": AT,
}
LISTENER = {
    "id": ID.format(2),
    "wait_id": ID.format(1),
    "event_type": "'email_open'",
    "contact_id": "'ada'",
    "exclusive": "false",
    "status": "'active'",
    "since_at": AT,
}
EVENT = {"event_type": "'email_open'", "contact_id": "'ada'"}
DELIVERY = {
    "id": ID.format(3),
    "wait_id": ID.format(1),
    "handler": "'nudge'",
    "outcome": "'due'",
    "status": "'pending'",
    "attempt": "0",
    "next_attempt_at": AT,
    "created_at": AT,
}
TOMBSTONE = {"kind": "'event_id'", "scope": "'s'", "key": "'k'"}
ROWS = {
    "workflow_wait_executions": WAIT,
    "workflow_event_listeners": LISTENER,
    "workflow_events": EVENT,
    "workflow_wait_deliveries": DELIVERY,
    "waitctl_tombstones": TOMBSTONE,
}
BROKEN = [
    ("workflow_wait_executions", {"status": "'resumed'"}),
    ("workflow_wait_executions", {"status": "'resumed'", "resolved_at": AT}),
    ("workflow_wait_executions", {"resolved_at": AT, "resolution": "'due'"}),
    ("workflow_wait_executions", {"resolution": "'due'"}),
    ("workflow_wait_executions", {"scheduled_at": "NULL"}),
    ("workflow_wait_executions", {"status": "'asleep'"}),
    ("workflow_wait_executions", {"wait_type": "'for_ever'"}),
    ("workflow_event_listeners", {"matched_at": AT}),
    ("workflow_event_listeners", {"matched_event_id": ID.format(9)}),
    ("workflow_event_listeners", {"status": "'deaf'"}),
    ("workflow_event_listeners", {"wait_id": ID.format(9)}),
    ("workflow_events", {"contact_id": "''"}),
    ("workflow_events", {"event_type": "''"}),
    ("workflow_events", {"data": "'{'"}),
    ("workflow_wait_deliveries", {"status": "'running'"}),
    ("workflow_wait_deliveries", {"lease_expires_at": AT}),
    ("workflow_wait_deliveries", {"status": "'delivered'"}),
    ("workflow_wait_deliveries", {"delivered_at": AT}),
    ("workflow_wait_deliveries", {"outcome": "'luck'"}),
    ("waitctl_tombstones", {"kind": "'epitaph'"}),
]


def insert(connection: sa.Connection, table: str, **changed: str) -> None:
    row = ROWS[table] | changed
    connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def test_the_schema_takes_what_is_right_and_nothing_else(database: Database) -> None:
    def work(connection: sa.Connection) -> None:
        for table in ROWS:
            insert(connection, table)
        for table, changed in BROKEN:
            key = {} if table in {"workflow_events", "waitctl_tombstones"} else {"id": ID.format(8)}
            if table == "workflow_wait_executions":
                key["step_id"] = "'another'"
            with pytest.raises((IntegrityError, sa.exc.DataError)), connection.begin_nested():
                insert(connection, table, **key, **changed)
                raise AssertionError(f"taken: {table} {changed}")

    database.write(lambda own: work(core(own)), rollback=True)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ({}, {}, True),
        ({"status": "'waiting'"}, {}, True),
        ({"status": "'resumed'", "resolved_at": AT, "resolution": "'due'"}, {}, False),
        ({"idempotency_key": "'k'"}, {"idempotency_key": "'k'", "step_id": "'another'"}, True),
        ({"idempotency_key": "'k'"}, {"idempotency_key": "'k'", "step_id": "'another'", "workflow_id": "'w'"}, False),
        ({"idempotency_key": "'k'", "workflow_id": "''"}, {"idempotency_key": "'k'", "step_id": "'another'"}, True),
    ],
)
def test_one_open_wait_a_step_and_one_wait_a_key(
    database: Database, first: dict[str, str], second: dict[str, str], clash: bool
) -> None:
    def work(connection: sa.Connection) -> bool:
        insert(connection, "workflow_wait_executions", **first)
        try:
            with connection.begin_nested():
                insert(connection, "workflow_wait_executions", **{"id": ID.format(8)} | second)
        except IntegrityError:
            return True
        return False

    assert database.write(lambda own: work(core(own)), rollback=True) is clash


def test_a_source_says_an_id_once_and_nothing_as_often_as_it_likes(database: Database) -> None:
    def work(connection: sa.Connection) -> None:
        for external_id in ("NULL", "NULL", "'one'", "'two'"):
            insert(connection, "workflow_events", external_id=external_id)
        insert(connection, "workflow_events", external_id="'one'", source="'another'")
        with pytest.raises(IntegrityError), connection.begin_nested():
            insert(connection, "workflow_events", external_id="'one'")

    database.write(lambda own: work(core(own)), rollback=True)


MATCH = {
    "wait_id": ID.format(1),
    "listener_id": ID.format(2),
    "event_id": ID.format(4),
    "group_no": "1",
    "received_at": AT,
    "matched_at": AT,
}


@pytest.mark.parametrize(
    ("second", "clash"),
    [
        ({}, True),
        ({"event_id": ID.format(5)}, False),
        ({"event_id": ID.format(5), "distinct_value": "'a'"}, True),
        ({"event_id": ID.format(5), "distinct_value": "'b'"}, False),
        ({"event_id": ID.format(5), "distinct_value": "'a'", "group_no": "2"}, False),
    ],
)
def test_a_wait_counts_an_event_once_and_a_distinct_text_once(
    database: Database, second: dict[str, str], clash: bool
) -> None:
    def row(connection: sa.Connection, **fields: str) -> None:
        values = MATCH | fields
        connection.exec_driver_sql(
            f"INSERT INTO workflow_listener_matches ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        )

    def work(connection: sa.Connection) -> bool:
        insert(connection, "workflow_wait_executions")
        row(connection, distinct_value="'a'")
        try:
            with connection.begin_nested():
                row(connection, **second)
        except IntegrityError:
            return True
        return False

    assert database.write(lambda own: work(core(own)), rollback=True) is clash


def test_listeners_go_with_their_wait(database: Database) -> None:
    def work(connection: sa.Connection) -> int:
        insert(connection, "workflow_wait_executions")
        insert(connection, "workflow_event_listeners")
        connection.exec_driver_sql("DELETE FROM workflow_wait_executions")
        return int(connection.exec_driver_sql("SELECT count(*) FROM workflow_event_listeners").scalar_one())

    assert database.write(lambda own: work(core(own))) == 0


def test_an_upgrade_drops_no_lock_of_its_process(sqlite_url: str, tmp_path: Path) -> None:
    """Else whoever closes the file next takes himself for the last one, and deletes the WAL that is written to."""
    count = f"sqlite3.connect({str(tmp_path / 'waits.db')!r}).execute('SELECT count(*) FROM workflow_wait_executions')"

    def count_elsewhere() -> str:
        program = f"import sqlite3; print(*{count}.fetchone())"
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with Database(sqlite_url) as database:
        service = WaitSchedulingService(database)
        for number in (1, 2):
            service.create_fixed_time_wait("1h", WaitSpec(f"execution-{number}"))
            database.upgrade()
            assert count_elsewhere() == f"{number}\n"
