"""Statements on what could not be taken in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows
from waitctl.infrastructure.schema import quarantine
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.quarantine import _MOST_COUNTED


@statement
def _count_quarantined() -> sa.Select[Any]:
    """How many payloads are in quarantine, up to a limit."""
    some = sa.select(quarantine.c.id).limit(sa.literal_column(str(_MOST_COUNTED))).subquery("some")
    return sa.select(sa.func.count()).select_from(some)


@statement
def _delete_older(of_source: bool) -> sa.Delete:
    """Forget what came into quarantine before an instant: of one source, or of all but some."""
    names = JsonRows("names", {"name": sa.Text()})
    other = quarantine.c.source.not_in(sa.select(names.c.name))
    mine = quarantine.c.source == sa.bindparam("of", type_=sa.Text) if of_source else other
    return sa.delete(quarantine).where(quarantine.c.received_at < sa.bindparam("before", type_=UtcDateTime), mine)
