"""Alembic, loaded only when something migrates: it costs a fifth of a second."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import StaticPool

from waitctl.domain.errors import SchemaVersionError
from waitctl.infrastructure.executor import Connection


def _config() -> Config:
    """The migrations: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    root = package if (package / "alembic").is_dir() else package.parent
    config = Config()
    config.set_main_option("script_location", str(root / "alembic").replace("%", "%%"))
    return config


def core(connection: Connection) -> sa.Connection:
    """SQLAlchemy's on the connection's driver connection, of whose transaction it neither begins nor ends anything."""
    engine = sa.create_engine(
        "sqlite+pysqlite://" if connection.dialect == "sqlite" else "postgresql+psycopg://",
        creator=lambda: connection.driver,
        poolclass=StaticPool,
        pool_reset_on_return=None,
    )
    for name in ("do_begin", "do_commit", "do_rollback", "do_close"):
        setattr(engine.dialect, name, lambda _: None)
    return engine.connect()


def upgrade(connection: Connection, revision: str) -> None:
    """Migrate up to ``revision`` inside the connection's transaction.

    Raises `SchemaVersionError` for a revision that there is not.
    """
    config = _config()
    config.attributes["connection"] = core(connection)
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise SchemaVersionError(f"cannot migrate to {revision!r}: {error}") from error


def downgrade(connection: Connection, revision: str) -> None:
    """Migrate down to ``revision`` (``base``: no tables) inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = core(connection)
    command.downgrade(config, revision)


def script(url: str) -> str:
    """The DDL from nothing to head for the kind of database that ``url`` names, without connecting to one."""
    import io

    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    config.attributes["url"] = url
    command.upgrade(config, "head", sql=True)
    return buffer.getvalue()


def head() -> str | None:
    """The newest migration."""
    return ScriptDirectory.from_config(_config()).get_current_head()
