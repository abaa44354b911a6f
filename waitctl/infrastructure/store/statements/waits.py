"""Statements on waits, their listeners and their audit trail.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from waitctl.domain.statuses import OPEN
from waitctl.domain.waits import ENUMERATIONS, INSTANTS
from waitctl.infrastructure.dialects import insert_new, insert_numbered, is_among, is_one_of, rfc3339
from waitctl.infrastructure.schema import deliveries, listeners, matches, tombstones, transitions, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.waits import _DOCUMENTS


def literal(value: Any, column: sa.ColumnElement[Any]) -> sa.BindParameter[Any]:
    """``value`` as text in the statement: under a generic plan a bound status loses the partial index."""
    return sa.literal(value, column.type, literal_execute=True)


def row_exists(*conditions: sa.ColumnElement[bool], of: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a row meets these conditions on it and on ``of``: one look in an index for each row of ``of``.

    Of ``EXISTS`` PostgreSQL makes a join, and goes through all of the other table again and again where its statistics
    say that it is empty: those of what is mostly deleted soon do. It takes this for true of half of the rows; what
    ``IS NULL`` asks it takes for rare, and then it sorts all that there is to find a few.
    """
    found = sa.select(sa.true()).where(*conditions).limit(sa.literal_column("1")).correlate(of)
    return sa.func.coalesce(found.scalar_subquery(), sa.false(), type_=sa.Boolean)


class IsClaimed(is_one_of):
    """Whether a value is the id of a row that was claimed; said beside the join with them, and to PostgreSQL alone.

    Where it guesses them many, it would rather read a table of a hundred thousand rows than look a thousand up. Where
    it guesses them few, this is not to be said: it looks each up by itself, and would sort the whole list each time.
    """

    inherit_cache = True

    def __init__(self, subject: sa.ColumnElement[Any], claimed: FromClause) -> None:
        super().__init__(subject, sa.select(claimed.c.id))


@compiles(IsClaimed, "sqlite")
def _is_claimed_sqlite(_: IsClaimed, __: SQLCompiler, **settings: Any) -> str:
    return "1 = 1"


OPEN_WAIT = waits.c.status.in_([literal(status, waits.c.status) for status in sorted(OPEN, reverse=True)])


@statement
def _get_waits() -> sa.Select[Any]:
    """The waits with these ids."""
    return sa.select(waits).where(is_among(waits.c.id))


@statement
def _get_wait() -> sa.Select[Any]:
    """The wait with this id."""
    return sa.select(waits).where(waits.c.id == sa.bindparam("wait_id", type_=waits.c.id.type))


@statement
def _find_open_wait() -> sa.Select[Any]:
    """The open wait of a step."""
    execution_id = waits.c.workflow_execution_id == sa.bindparam("execution_id", type_=sa.Text)
    return sa.select(waits).where(execution_id, waits.c.step_id == sa.bindparam("step_id", type_=sa.Text), OPEN_WAIT)


@statement
def _find_wait_by_key() -> sa.Select[Any]:
    """The wait with this idempotency key in this workflow."""
    workflow_id = sa.func.coalesce(waits.c.workflow_id, sa.literal_column("''"))
    return sa.select(waits).where(
        workflow_id == sa.bindparam("workflow_id", type_=sa.Text),
        waits.c.idempotency_key == sa.bindparam("key", type_=sa.Text),
    )


@statement
def _find_tombstone() -> sa.Select[Any]:
    """What is left of the pruned wait with this idempotency key."""
    table = tombstones.c
    return sa.select(table.wait_id, table.fingerprint, table.resolution, table.resolved_at).where(
        table.kind == sa.literal_column("'wait_key'"),
        table.scope == sa.bindparam("workflow_id", type_=sa.Text),
        table.key == sa.bindparam("key", type_=sa.Text),
    )


@statement
def _waits_of_execution(of_step: bool) -> sa.Select[Any]:
    """The waits of an execution, or of one of its steps."""
    found = sa.select(waits).where(of_execution(sa.bindparam("execution_id", type_=sa.Text)))
    if of_step:
        found = found.where(waits.c.step_id == sa.bindparam("step_id", type_=sa.Text))
    return found.order_by(waits.c.created_at, waits.c.id)


@statement
def _list_newest(goes_on: bool) -> sa.Select[Any]:
    """Waits by id, newest first, or those older than one."""
    found = sa.select(waits).order_by(waits.c.id.desc()).limit(sa.bindparam("limit", type_=sa.Integer))
    return found.where(waits.c.id < sa.bindparam("after", type_=waits.c.id.type)) if goes_on else found


@statement
def _get_fields(names: tuple[str, ...]) -> sa.Select[Any]:
    """These columns of the waits with these ids, as documents have them."""
    return sa.select(*plain_columns(names)).where(is_among(waits.c.id))


def plain_columns(names: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    """These columns of the waits for `read_fields`: what the driver would make an object of as text."""

    def plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        if column.name in ENUMERATIONS:
            return sa.type_coerce(column, sa.Text).label(column.name)
        if column.name in INSTANTS:
            return rfc3339(column).label(column.name)
        return sa.cast(column, sa.Text).label(column.name) if column.name in _DOCUMENTS else column

    return [plain(waits.c[name]) for name in names]


@statement
def _deliveries_of() -> sa.Select[Any]:
    """The deliveries of these waits, oldest first."""
    return sa.select(deliveries).where(is_among(deliveries.c.wait_id)).order_by(deliveries.c.id)


@statement
def _count_matches() -> sa.Select[Any]:
    """How many events the listeners of these waits have counted."""
    counts = sa.select(matches.c.listener_id, sa.func.count()).where(is_among(matches.c.wait_id))
    return counts.group_by(matches.c.listener_id)


@statement
def _listeners_of() -> sa.Select[Any]:
    """The listeners of these waits, oldest first."""
    return sa.select(listeners).where(is_among(listeners.c.wait_id)).order_by(listeners.c.id)


def of_execution(execution_id: Any) -> sa.ColumnElement[bool]:
    """Whether a wait is of this execution: by the first line of the audit trail, which has the index."""
    return waits.c.id.in_(sa.select(transitions.c.wait_id).where(transitions.c.workflow_execution_id == execution_id))


@statement
def _history(newest: bool = False) -> sa.Select[Any]:
    """A wait's audit trail, oldest first; or its newest lines, from the last one back."""
    table = transitions.c
    found = sa.select(table.at, table.from_status, table.to_status, table.reason, table.actor, table.data)
    found = found.where(table.wait_id == sa.bindparam("wait_id", type_=table.wait_id.type))
    if newest:
        return found.order_by(table.id.desc()).limit(sa.bindparam("limit", type_=sa.Integer))
    return found.order_by(table.id)


@statement
def _count_ended() -> Any:
    """How many of these waits there are, and how many of them have ended."""
    return sa.select(sa.func.count(), sa.func.count(waits.c.resolved_at)).where(is_among(waits.c.id))


@statement
def _insert_wait() -> Any:
    """Insert a wait, unless its step or its idempotency key is taken."""
    return insert_new(waits).returning(waits.c.id)


@statement
def _insert_listeners() -> sa.Insert:
    """Insert the listeners of a new wait."""
    return sa.insert(listeners)


@statement
def _insert_first_transition() -> sa.Insert:
    """The first line of a wait's audit trail, which says of which execution it is."""
    given = {
        transitions.c.wait_id: "wait_id",
        transitions.c.at: "now",
        transitions.c.to_status: "status",
        transitions.c.reason: "reason",
        transitions.c.actor: "actor",
        transitions.c.workflow_execution_id: "execution_id",
    }
    columns = {column: sa.bindparam(name, type_=column.type) for column, name in given.items()}
    return insert_numbered(columns, transitions.c.id)
