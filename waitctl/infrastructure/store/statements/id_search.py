"""Statements that find ids by their head or tail."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.schema import metadata
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.id_search import HasId


@statement
def _find_id(kind: HasId) -> sa.Select[Any]:
    """The id, if there is one."""
    column = _column(kind)
    return sa.select(column).where(column == sa.bindparam("id", type_=column.type))


@statement
def _find_ids(kind: HasId) -> sa.Select[Any]:
    """Ids that begin or end with these digits."""
    column = _column(kind)
    digits = sa.func.replace(sa.cast(column, sa.Text), sa.literal_column("'-'"), sa.literal_column("''"))
    fragment = sa.bindparam("fragment", type_=sa.Text)
    found = sa.select(column).where(digits.startswith(fragment) | digits.endswith(fragment))
    return found.order_by(column).limit(sa.bindparam("limit", type_=sa.Integer))


def _column(kind: HasId) -> sa.Column[str]:
    return metadata.tables[kind.value].c.id
