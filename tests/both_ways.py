"""Whatever a kept statement reads is read through SQLAlchemy, too, and is the same.

A plugin of pytest: ``python -m pytest -p tests.both_ways FILES`` does so in every test of these files.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from waitctl.infrastructure.executor import Connection, Parameters, Row, Rows
from waitctl.infrastructure.kept import Kept
from waitctl.infrastructure.migrations import core
from waitctl.infrastructure.rendering import load_statements
from waitctl.infrastructure.sql_batch import STATEMENTS

_MADE_UP = re.compile(r".*_\d+")
"""The name of a column that has none, by SQLAlchemy's counting."""


def compare(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Run statements both ways from now on. Returns the names of those that were, which grow."""
    load_statements()
    names: set[str] = set()
    execute = Connection.execute

    def both(self: Connection, statement: Any, parameters: Parameters = {}) -> Rows[Row]:  # noqa: B006
        rows = execute(self, statement, parameters)
        built = STATEMENTS[statement.name](*statement.arguments) if isinstance(statement, Kept) else None
        if (
            isinstance(built, sa.Select | sa.CompoundSelect)
            and "INSERT INTO" not in statement.sent(self.dialect)[0].text
        ):
            theirs = core(self).execute(built, dict(parameters))
            has_names = not any(map(_MADE_UP.fullmatch, theirs.keys()))
            read = theirs.all()
            assert [tuple(row) for row in rows] == [tuple(row) for row in read], statement.name
            if has_names:
                assert rows.mappings() == [dict(row._mapping) for row in read], statement.name
            names.add(statement.name)
        return rows

    monkeypatch.setattr(Connection, "execute", both)
    return names


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the statements that were run both ways, each with the same rows."""
    return compare(monkeypatch)
