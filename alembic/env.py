"""How Alembic reaches the database: a connection that waitctl hands it, a URL for `db sql`, or alembic.ini's."""

from typing import Any

import sqlalchemy as sa
from alembic import context

from waitctl.infrastructure.indexes import metadata
from waitctl.infrastructure.schema_version import VERSION_TABLE

config = context.config


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Leave the tables of an application that shares the database alone."""
    return kind != "table" or name in metadata.tables


options: dict[str, Any] = {
    "target_metadata": metadata,
    "version_table": VERSION_TABLE,
    "include_name": include_name,
    "compare_server_default": False,
}

if context.is_offline_mode():
    url = config.attributes.get("url") or config.get_main_option("sqlalchemy.url")
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **options)
    with context.begin_transaction():
        context.run_migrations()
elif (connection := config.attributes.get("connection")) is not None:
    context.configure(connection=connection, **options)
    context.run_migrations()
else:
    with sa.create_engine(config.get_main_option("sqlalchemy.url") or "").begin() as connection:
        context.configure(connection=connection, **options)
        context.run_migrations()
