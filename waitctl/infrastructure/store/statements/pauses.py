"""Statements on pauses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.schema import pauses
from waitctl.infrastructure.sql_batch import statement


@statement
def _list_pauses() -> sa.Select[Any]:
    """Every pause, oldest first."""
    return sa.select(*pauses.c).order_by(pauses.c.paused_at, pauses.c.kind, pauses.c.name)
