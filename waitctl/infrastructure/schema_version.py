"""Which migration a database is at."""

from __future__ import annotations

from waitctl.domain.errors import SchemaTooNewError
from waitctl.infrastructure.executor import Connection

HEAD = "0016"
"""The newest migration. A test holds it equal to Alembic's head, so that commands need not import Alembic."""

VERSION_TABLE = "waitctl_alembic_version"
"""Not Alembic's default name: the tables may live beside an application that has migrations of its own."""

_IS_THERE = {
    "sqlite": f"SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = '{VERSION_TABLE}'",
    "postgresql": f"SELECT 1 WHERE to_regclass('{VERSION_TABLE}') IS NOT NULL",
}


def read_revision(session: Connection) -> str | None:
    """The migration that the database is at; ``None`` when it has no tables of ours."""
    if not session.execute(_IS_THERE[session.dialect]):
        return None
    revision: str | None = session.execute(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return revision


def refuse_newer(revision: str | None, name: str) -> None:
    """Raise `SchemaTooNewError` when the database of this name is newer than this waitctl."""
    if revision is not None and revision > HEAD:
        raise SchemaTooNewError(
            f"{name} is at {revision}, newer than this waitctl ({HEAD})", hint="upgrade waitctl on this host"
        )
