"""What a PostgreSQL can refuse, brought about for real: a role that meets it, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from waitctl.infrastructure.schema_version import VERSION_TABLE

ROLE = "SELECT 1 FROM pg_roles WHERE rolname = %s"
OURS = f"SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '{VERSION_TABLE}'"
FAILING = """
CREATE OR REPLACE FUNCTION fault() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {does} RETURN true; END $$;
CREATE OR REPLACE FUNCTION fault_of_a_statement() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM fault(); RETURN NULL; END $$;
"""
ON_WRITING = "CREATE TRIGGER fault BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION fault_of_a_statement()"
ON_READING = "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY fault ON {table} USING (fault())"

FAULTS = {
    "57014": "statement timeout",
    "55P03": "lock timeout",
    "53300": "too many connections",
    "25006": "read-only",
    "53100": "No space left on device",
    "57P01": "terminating connection",
    "42P01": "does not exist",
}
"""SQLSTATEs, and a part of the server's own words."""


class PlainRole:
    """A role without privileges of its own on a migrated database, and what can go wrong for it."""

    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql")
        self._admin = psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)
        self.name = f"plain_{plain.database}"
        self.url = plain.set(username=self.name, password="plain").render_as_string(hide_password=False)
        self.do(f"CREATE ROLE {self.name} LOGIN PASSWORD 'plain'")
        self.do(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {self.name}")
        self.do(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {self.name}")

    def do(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement as the server's administrator."""
        cursor = self._admin.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.end_sessions()
        self.do(f"DROP OWNED BY {self.name}")
        self.do(f"DROP ROLE {self.name}")
        self._admin.close()

    def listens(self) -> bool:
        """Whether a session of its waits for a notification."""
        query = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND query LIKE %s"
        return bool(self.do(query, self.name, "LISTEN %"))

    def end_sessions(self) -> None:
        self.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", self.name)

    def prepare(self, state: str, patience: str) -> None:
        """What must be set before a session begins that is to meet the fault; it then waits for so long."""
        setting = {"57014": "statement_timeout", "55P03": "lock_timeout"}.get(state)
        if setting:
            self.do(f"ALTER ROLE {self.name} SET {setting} = '{patience}'")

    @contextmanager
    def fault(self, state: str) -> Iterator[None]:
        """Statements of this role that it concerns end with this SQLSTATE."""
        match state:
            case "57014" | "55P03":
                with self._admin.transaction():
                    self.do(f"LOCK TABLE {', '.join(self._tables())} IN ACCESS EXCLUSIVE MODE")
                    yield
            case "53300":
                self.do(f"ALTER ROLE {self.name} CONNECTION LIMIT 0")
                self.end_sessions()
                yield
                self.do(f"ALTER ROLE {self.name} CONNECTION LIMIT -1")
            case "25006":
                self.do(f"ALTER ROLE {self.name} SET default_transaction_read_only = on")
                self.end_sessions()
                yield
                self.do(f"ALTER ROLE {self.name} RESET default_transaction_read_only")
                self.end_sessions()
            case "53100":
                self._fail("RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100';", ON_WRITING)
                yield
                self._mend()
            case "57P01":
                self._fail("PERFORM pg_terminate_backend(pg_backend_pid());", ON_WRITING, ON_READING)
                yield
                self._mend()
            case "42P01":
                self.do("ALTER SCHEMA public RENAME TO elsewhere")
                self.do("CREATE SCHEMA public")
                self.do(f"GRANT USAGE ON SCHEMA public TO {self.name}")
                self.do(f"ALTER TABLE elsewhere.{VERSION_TABLE} SET SCHEMA public")
                yield
                self.do(f"ALTER TABLE {VERSION_TABLE} SET SCHEMA elsewhere")
                self.do("DROP SCHEMA public")
                self.do("ALTER SCHEMA elsewhere RENAME TO public")
            case _:
                raise AssertionError(state)

    def _tables(self) -> list[str]:
        return [name for (name,) in self.do(OURS)]

    def _fail(self, does: str, *where: str) -> None:
        self.do(FAILING.format(does=does))
        for table in self._tables():
            for each in where:
                self.do(each.format(table=table))

    def _mend(self) -> None:
        for table in self._tables():
            with suppress(psycopg.Error):
                self.do(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
            self.do(f"DROP TRIGGER IF EXISTS fault ON {table}")
            self.do(f"DROP POLICY IF EXISTS fault ON {table}")
