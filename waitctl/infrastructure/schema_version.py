"""Which migration a database is at."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.errors import SchemaTooNewError
from waitctl.infrastructure.schema import HEAD, VERSION_TABLE

# A row of the version table; not in schema.py's metadata because Alembic makes it.
_version = sa.table(VERSION_TABLE, sa.column("version_num"))


def read_revision(connection: Connection) -> str | None:
    """The migration that the database is at; ``None`` when it has no tables of ours."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(sa.select(_version.c.version_num)).scalar()
    return revision


def refuse_newer(revision: str | None, name: str) -> None:
    """Raise `SchemaTooNewError` when the database of this name is newer than this waitctl."""
    if revision is not None and revision > HEAD:
        raise SchemaTooNewError(
            f"{name} is at {revision}, newer than this waitctl ({HEAD})", hint="upgrade waitctl on this host"
        )
