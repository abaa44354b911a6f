"""The waits that a filter means: listed in pages, locked, counted."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from waitctl.domain.filters import NEWEST_FIRST, SortKey, WaitFilter, WaitOrder
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store.overview import OpenCounts, open_counts
from waitctl.infrastructure.store.waits import load

if TYPE_CHECKING:
    from waitctl.domain.waits import WaitStepExecution
    from waitctl.infrastructure.executor import Connection


def list_waits(
    connection: Connection,
    wanted: WaitFilter,
    *,
    now: datetime,
    limit: int,
    after: str | None,
    order: WaitOrder = NEWEST_FIRST,
) -> list[WaitStepExecution]:
    """A page of waits in an order, beyond the wait ``after``, which must be there unless by `SortKey.CREATED`."""
    if wanted.is_empty and order == NEWEST_FIRST:  # what a dashboard asks every few seconds
        return load(connection, kept("list_newest", after is not None), limit=limit, after=after)
    from waitctl.infrastructure.store.statements.filters import list_statement, page_after

    return load(connection, page_after(after, order, list_statement(wanted, now=now, order=order)).limit(limit))


def lock_page(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> list[WaitStepExecution]:
    """A page of waits, oldest first, which nobody changes until the transaction ends. Locks the waits by id."""
    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.filters import list_statement, page_after

    order = WaitOrder(SortKey.CREATED)
    found = page_after(after, order, list_statement(wanted, now=now, order=order))
    return load(connection, found.limit(limit).with_for_update(of=waits))


def list_ids(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int | None, after: str | None, order: WaitOrder
) -> list[str]:
    """The ids alone of as many, or of all: for an order that no index gives, and that is sorted once."""
    from waitctl.infrastructure.store.statements.filters import ids_statement, page_after

    found = page_after(after, order, ids_statement(wanted, now=now, order=order)).limit(limit)
    return list(connection.execute(found).scalars())


def count_open_among(connection: Connection, wanted: WaitFilter, *, now: datetime) -> OpenCounts:
    """Count the open waits among those that are meant, as `overview.count_open` does for all."""
    from waitctl.infrastructure.store.statements.filters import count_statements

    counts, overdue, following = count_statements(wanted, now=now)
    found = [(row[0], row[1], row[2]) for row in connection.execute(counts)]
    next_at = [connection.execute(each).scalar() for each in following]
    return open_counts(found, connection.execute(overdue).one(), next_at)
