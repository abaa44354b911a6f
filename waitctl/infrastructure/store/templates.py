"""Statements on templates, and on the waits that are bound to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.domain.templates import Reference, Template
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import TEMPLATE, WaitStepExecution
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store.waits import load


def _read(row: Row) -> Template:
    """The template of a row. Its fields are pairs there, since jsonb keeps no order."""
    name, fields, *rest = row
    return Template(name, dict(fields), *rest)


def get_template(connection: Connection, reference: Reference) -> Template | None:
    """The version that is named, or the newest; removed ones are not there."""
    found = kept("get_template", reference.version is not None)
    row = connection.execute(found, {"name": reference.name, "version": reference.version}).one_or_none()
    return None if row is None else _read(row)


def find_version(connection: Connection, reference: Reference) -> Template | None:
    """The version that is named, removed or not."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import templates
    from waitctl.infrastructure.store.statements.templates import COLUMNS

    found = sa.select(*COLUMNS).where(templates.c.name == reference.name, templates.c.version == reference.version)
    row = connection.execute(found).one_or_none()
    return None if row is None else _read(row)


def list_newest(connection: Connection) -> list[Template]:
    """The newest version of every template, by name."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import templates
    from waitctl.infrastructure.store.statements.templates import COLUMNS, THERE

    newest = sa.select(templates.c.name, sa.func.max(templates.c.version).label("version")).where(THERE)
    last = newest.group_by(templates.c.name).subquery()
    found = sa.select(*COLUMNS).join(
        last, sa.and_(last.c.name == templates.c.name, last.c.version == templates.c.version)
    )
    return [_read(row) for row in connection.execute(found.order_by(templates.c.name))]


def list_versions(connection: Connection, name: str) -> list[Template]:
    """The versions of a template, newest first."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import templates
    from waitctl.infrastructure.store.statements.templates import COLUMNS, THERE

    found = sa.select(*COLUMNS).where(templates.c.name == name, THERE).order_by(templates.c.version.desc())
    return [_read(row) for row in connection.execute(found)]


def last_version(connection: Connection, name: str) -> int:
    """The highest number that this name has had, removed or not; 0 for none."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import templates

    found = sa.select(sa.func.max(templates.c.version)).where(templates.c.name == name)
    return int(connection.execute(found).scalar_one() or 0)


def insert_template(connection: Connection, template: Template, *, now: datetime, actor: str) -> bool:
    """Insert a version, unless it is there. Returns whether it landed."""
    from waitctl.infrastructure.dialects import insert_new
    from waitctl.infrastructure.schema import templates

    row = {
        "name": template.name,
        "version": template.version,
        "fields": [[key, value] for key, value in template.fields.items()],
        "examples": dict(template.examples),
        "actor": actor,
        "saved_at": now,
        "removed_at": None,
    }
    return connection.execute(insert_new(templates).returning(templates.c.version), row).first() is not None


def remove_templates(connection: Connection, reference: Reference, *, now: datetime) -> list[int]:
    """Remove a version, or all of them. Returns which."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import templates
    from waitctl.infrastructure.store.statements.templates import THERE

    gone = sa.update(templates).where(templates.c.name == reference.name, THERE).values(removed_at=now)
    if reference.version is not None:
        gone = gone.where(templates.c.version == reference.version)
    return sorted(row[0] for row in connection.execute(gone.returning(templates.c.version)))


# -- the waits that are bound to them ----------------------------------------------------------------------------------


def bound_waits(connection: Connection, name: str, *, limit: int, after: str | None) -> list[WaitStepExecution]:
    """Open waits that are bound to this template, by id, beyond ``after``."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

    is_bound = waits.c.wait_config[(TEMPLATE, "name")].as_string() == name
    found = sa.select(waits).where(OPEN_WAIT, is_bound).order_by(waits.c.id).limit(limit)
    return load(connection, found if after is None else found.where(waits.c.id > after))


def change_what_they_do(connection: Connection, waits: Sequence[WaitStepExecution], *, now: datetime) -> None:
    """Write handlers and contexts of these waits, where they are open."""
    rows: list[JsonObject] = [
        {
            "wait_id": wait.id,
            "given_handler": wait.handler,
            "given_handlers": wait.handlers,
            "given_context": wait.context,
            "now": now,
        }
        for wait in waits
    ]
    if rows:
        connection.execute(kept("change_what_it_does"), rows)
