"""A database with a clock that the test moves, and short words for what tests do with waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import sqlalchemy as sa

from waitctl import (
    Database,
    DeliveryService,
    EventQuery,
    EventService,
    RecordResult,
    ReschedulingService,
    Rules,
    Settings,
    Tick,
    TickOptions,
    TickReport,
    WaitCreateResult,
    WaitSchedulingService,
    WaitSpec,
    WaitStepExecution,
    make_event,
)
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.handlers import ExecConfig, HandlerConfig
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.executor import Connection

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MILLISECOND = timedelta(milliseconds=1)


class HandlerModule(ModuleType):
    """A module whose functions, which handlers may name, are the test's."""

    def __setattr__(self, name: str, function: Callable[[Any], object]) -> None:
        super().__setattr__(name, function)


class Scene:
    """Starts at noon; `at` moves the clock to so many minutes later."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url, as_of=NOON)
        self.waits = WaitSchedulingService(self.database, actor="test")
        self.events = EventService(self.database, actor="test")
        self.rescheduling = ReschedulingService(self.database, actor="test")
        self.deliveries = DeliveryService(self.database, actor="test")
        self.handlers: dict[str, HandlerConfig] = {}

    def at(self, minutes: float) -> Scene:
        self.database.as_of = NOON + minutes * MINUTE
        return self

    def on_the_real_clock(self) -> Scene:
        self.database.as_of = None
        return self

    def create(self, duration: str = "1h", execution: str = "e", **options: Any) -> WaitCreateResult:
        spec, options = _particulars(execution, options)
        return self.waits.create_fixed_time_wait(duration, spec, **options)

    def listen(
        self,
        *types: str,
        execution: str = "e",
        contact: str = "ada",
        timeout: str | None = "1h",
        lookback: str = "1m",
        grace: str = "0",
        match: dict[str, str] | None = None,
        match_json: dict[str, Any] | None = None,
        exclusive: bool = False,
        rules: Rules = Rules(),
        **options: Any,
    ) -> WaitStepExecution:
        asked = {
            name: options.pop(name)
            for name in ("where", "human", "mode", "count", "distinct", "timeout_window")
            if name in options
        }
        query = EventQuery(
            types or ("email_open",),
            match=match,
            match_json=match_json,
            timeout=parse_duration(timeout, business=True) if timeout else None,
            lookback=parse_duration(lookback, zero=True),
            grace=parse_duration(grace, zero=True) if grace else Duration(),
            exclusive=exclusive,
            rules=rules,
            **asked,
        )
        spec, options = _particulars(execution, {"contact_id": contact} | options)
        return self.waits.create_event_wait(query, spec, **options).wait

    def record(self, event_type: str = "email_open", contact: str = "ada", **fields: Any) -> RecordResult:
        return self.events.record(make_event(event_type, contact, **fields))

    def tick(self, **options: Any) -> TickReport:
        settings = Settings(self.url, handlers=self.handlers)
        return Tick(self.database, settings, TickOptions(**options)).run()

    def get(self, wait: WaitStepExecution | str) -> WaitStepExecution:
        return self.waits.get_wait_status(wait if isinstance(wait, str) else wait.id).wait

    def statuses(self, *waits: WaitStepExecution) -> str:
        return " ".join(self.get(wait).status for wait in waits)

    def sql(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Run a statement and return its rows, if it has any."""

        def work(connection: Connection) -> Sequence[Any]:
            result = connection.execute(sa.text(statement), parameters)
            return result.all()

        return self.database.write(work)

    def insert_event(
        self,
        event_type: str = "email_open",
        contact_id: str = "ada",
        data: str = "{}",
        source: str = "crm",
        external_id: str | None = None,
        occurred_at: str | None = None,
    ) -> None:
        """What another system does at the inbox table: its own driver, the six columns."""
        row = (event_type, contact_id, data, source, external_id, occurred_at)
        statement = (
            "INSERT INTO workflow_events (event_type, contact_id, data, source, external_id, occurred_at) VALUES "
        )
        if self.database.is_sqlite:
            assert self.database.path is not None
            with sqlite3.connect(self.database.path) as connection:
                connection.execute(statement + "(?, ?, ?, ?, ?, ?)", row)
            connection.close()
            inserted = host_clock()
            while host_clock() - inserted < MILLISECOND:  # what SQLite stamps with one has no order
                pass
        else:
            with psycopg.connect(self.url) as foreign:
                foreign.execute((statement + "(%s, %s, %s, %s, %s, %s)").encode(), row)

    def handle(
        self, folder: Path, script: str, name: str = "nudge", *, timeout: float = 20, concurrency: int = 4, **retry: Any
    ) -> Path:
        """Make a handler of a shell script; ``$OUT`` is a file for what it has to say, which is returned."""
        command, out = folder / f"{name}.sh", folder / f"{name}.out"
        command.write_text(f"#!/bin/sh\nOUT={out}\n{script}\n")
        command.chmod(0o755)
        policy = RetryPolicy(**retry)
        self.handlers[name] = HandlerConfig(
            name, ExecConfig((str(command),)), timedelta(seconds=timeout), concurrency, policy
        )
        return out


def _particulars(execution: str, options: dict[str, Any]) -> tuple[WaitSpec, dict[str, Any]]:
    names = set(WaitSpec.__dataclass_fields__)
    given = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return WaitSpec(execution, **given), rest
