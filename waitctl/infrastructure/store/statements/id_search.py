"""Statements that find ids by their head or tail."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.schema import metadata, transitions
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


@statement
def _find_execution() -> sa.Select[Any]:
    """A wait of the execution, if there is one: by the first line of its audit trail."""
    execution_id = transitions.c.workflow_execution_id == sa.bindparam("execution_id", type_=sa.Text)
    return sa.select(transitions.c.wait_id).where(execution_id).limit(1)


def _column(kind: HasId) -> sa.Column[str]:
    return metadata.tables[kind.value].c.id
