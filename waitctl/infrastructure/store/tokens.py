"""Statements on the one-time tokens of webhooks."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from waitctl.infrastructure.dialects import insert_new
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import webhook_tokens


def remember_token(connection: Connection, source: str, token: str, content: str, *, now: datetime) -> bool:
    """Remember a token and a digest of what came with it. Returns False when it came before with something else.

    Somebody who brings the same token at the same time is waited for: the insert meets the other's row.
    """
    row = {"source": source, "token": token, "content": content, "seen_at": now}
    connection.execute(insert_new(webhook_tokens), row)
    table = webhook_tokens.c
    known = sa.select(table.content).where(table.source == source, table.token == token)
    return bool(connection.execute(known).scalar_one() == content)
