"""What procrastinate's command is pointed at: its jobs are named there, and the database by ``DATABASE_URL``."""

from __future__ import annotations

import os

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("DATABASE_URL", "")))
