"""Statements on templates."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.schema import templates, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import ID, NOW, SCHEDULED, WAITING

COLUMNS = tuple(templates.c[name] for name in ("name", "fields", "version", "examples", "saved_at", "actor"))
"""In the order of a template's fields."""

_NAMED = templates.c.name == sa.bindparam("name", type_=sa.Text)
THERE = templates.c.removed_at.is_(None)


@statement
def _get_template(of_version: bool) -> sa.Select[Any]:
    """A template's newest version, or one that is named."""
    found = sa.select(*COLUMNS).where(_NAMED, THERE)
    if of_version:
        found = found.where(templates.c.version == sa.bindparam("version", type_=sa.Integer))
    return found.order_by(templates.c.version.desc()).limit(1)


@statement
def _change_what_it_does() -> sa.Update:
    """Give an open wait other handlers and another context."""
    names = ("handler", "handlers", "context")
    given = {name: sa.bindparam(f"given_{name}", type_=waits.c[name].type) for name in names}
    wanted = waits.c.id == sa.bindparam("wait_id", type_=ID)
    return sa.update(waits).values(**given, updated_at=NOW).where(wanted, sa.or_(WAITING, SCHEDULED))
