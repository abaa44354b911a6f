"""The smallest app that makes the INSERTs of `waitctl create fixed-time`: what that is measured against."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import typer

app = typer.Typer()
create = typer.Typer()
app.add_typer(create, name="create")

metadata = sa.MetaData()
waits = sa.Table(
    "workflow_wait_executions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workflow_execution_id", sa.Text),
    sa.Column("step_id", sa.Text),
    sa.Column("wait_type", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("scheduled_at", sa.Text),
    sa.Column("timezone", sa.Text),
    sa.Column("wait_config", sa.Text),
    sa.Column("created_at", sa.Text),
    sa.Column("updated_at", sa.Text),
)
transitions = sa.Table(
    "workflow_wait_transitions",
    metadata,
    sa.Column("wait_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text),
    sa.Column("to_status", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("actor", sa.Text),
)


def stored(at: datetime) -> str:
    """An instant as the database keeps it."""
    return at.replace(tzinfo=None).isoformat(" ", "microseconds")


@create.command("fixed-time")
def fixed_time(duration: str) -> None:
    """Create a wait for some days."""
    now = datetime.now(UTC)  # noqa: TID251 (knows nothing of ours)
    wait_id = str(uuid.uuid4())
    wait = {
        "id": wait_id,
        "workflow_execution_id": wait_id,
        "step_id": "wait",
        "wait_type": "fixed_time",
        "status": "scheduled",
        "scheduled_at": stored(now + timedelta(days=int(duration.removesuffix("d")))),
        "timezone": "UTC",
        "wait_config": json.dumps({"duration": duration}),
        "created_at": stored(now),
        "updated_at": stored(now),
    }
    first = {
        "wait_id": wait_id,
        "id": sa.select(sa.func.coalesce(sa.func.max(transitions.c.id), 0) + 1).scalar_subquery(),
        "at": stored(now),
        "to_status": "scheduled",
        "reason": "created",
        "actor": "cli",
    }
    engine = sa.create_engine(os.environ["WAITCTL_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(sa.insert(waits).values(wait))
        connection.execute(sa.insert(transitions).values(first))
    typer.echo(wait_id)


@app.command()
def tick() -> None:
    """Resolve what is due."""


if __name__ == "__main__":
    app()
