"""Statements on the register of contacts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.dialects import is_among
from waitctl.infrastructure.schema import contacts
from waitctl.infrastructure.sql_batch import statement


@statement
def _get_contact() -> sa.Select[Any]:
    """The contact of the register."""
    return sa.select(*contacts.c).where(contacts.c.contact_id == sa.bindparam("contact_id", type_=sa.Text))


@statement
def _zones_of() -> sa.Select[Any]:
    """The zones of these contacts."""
    found = sa.select(contacts.c.contact_id, contacts.c.timezone)
    return found.where(is_among(contacts.c.contact_id), contacts.c.timezone.is_not(None))
