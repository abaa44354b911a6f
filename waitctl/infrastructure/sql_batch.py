"""Statements that are kept, each with a name; and the batch: rows that are claimed, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.infrastructure.kept import TEMPORARY

P = ParamSpec("P")
T = TypeVar("T")
Built = TypeVar("Built", bound="sa.Executable | Claimed")

NAME = "waitctl_statement"
"""The execution option with a statement's name."""

STATEMENTS: dict[str, Callable[..., Any]] = {}
"""Every kept statement by its name. What it does is the first line of the function's docstring."""

_VARIANTS = 64
"""Arguments of a statement that are remembered."""


def statement(build: Callable[P, Built]) -> Callable[P, Built]:
    """Build a statement once for each of its arguments, and name it after the function.

    Under that name docs/sql shows it and ``waitctl -vv`` says how long it took.
    """
    name = build.__name__.lstrip("_")

    @lru_cache(_VARIANTS)
    @wraps(build)
    def kept(*arguments: Any, **options: Any) -> Any:
        return named(name, build(*arguments, **options))

    if name in STATEMENTS:
        raise AssertionError(f"two statements are named {name}")
    STATEMENTS[name] = kept
    return cast("Callable[P, Built]", kept)


def named(name: str, built: Built) -> Built:
    """The statement with this name; the name is no part of what SQLAlchemy's cache goes by."""
    if isinstance(built, Claimed):
        built.name = name
        return built
    return built.execution_options(**{NAME: name})


RowsByName = Mapping[str, FromClause]


class Claimed:
    """A claim on rows and what is done to them, in one transaction: the shape of every batch.

    ``claim`` selects and locks the rows (the fence), ``claimed``; ``placed``, where that is not enough, selects from
    them what each is to become. Each of ``steps``, by the name of what it leaves behind, makes a statement from them,
    and ``told`` names what an UPDATE among those tells of each, also of what is claimed. ``result`` selects what the
    caller wants to know, from the claim and from what the steps tell. Build it once, run it per batch.

    On PostgreSQL all of it is one statement of data-modifying CTEs, and no row travels that nobody asks for. On SQLite,
    where a CTE may only read, the claim fills a temporary table and the steps follow one by one, under the write lock.
    One statement there and several here is nothing that a compiler could decide, so `kept` does, by its session.
    """

    name = "claimed"

    def __init__(
        self,
        claim: sa.Select[Any] | sa.CompoundSelect[Any],
        steps: Callable[[FromClause], Mapping[str, UpdateBase]],
        result: Callable[[FromClause, RowsByName], sa.Select[Any]],
        *,
        placed: Callable[[FromClause], sa.Select[Any]] | None = None,
        told: Callable[[FromClause], Mapping[str, Sequence[sa.ColumnElement[Any]]]] = lambda _: {},
    ) -> None:
        self._claim, self._placed, self._steps, self._told, self._result = claim, placed, steps, told, result

    @cached_property
    def postgresql(self) -> Mapping[str, sa.Executable]:
        """The one statement, by its name."""
        claimed: FromClause = self._claim.cte("claimed")
        if self._placed is not None:
            claimed = self._placed(claimed).cte("placed")
        told, done = self._told(claimed), dict[str, sa.CTE]()
        for name, step in self._steps(claimed).items():
            done[name] = step.returning(*told[name]).cte(name) if name in told else step.cte(name)
        return {"": named(self.name, self._result(claimed, done).add_cte(*done.values()))}

    @cached_property
    def sqlite(self) -> Mapping[str, sa.Executable]:
        """The statements by their names, in their order; the last one is the result."""
        claim = self._claim if self._placed is None else self._placed(self._claim.subquery("claimed"))
        columns = claim.selected_columns
        names = [column.name for column in columns]
        claimed = sa.table(TEMPORARY, *(sa.column(column.name, column.type) for column in columns))
        fill = sa.insert(sa.table(TEMPORARY, *map(sa.column, names))).from_select(names, claim)
        steps, told = self._steps(claimed), self._told(claimed)
        done = {name: _read_again(name, steps[name], told[name], claimed) for name in told}
        all_ = {"cleared": sa.delete(claimed), "claimed": fill, **steps, "told": self._result(claimed, done)}
        return {step: named(f"{self.name}: {step}", each) for step, each in all_.items()}


def _read_again(name: str, step: UpdateBase, told: Sequence[sa.ColumnElement[Any]], claimed: FromClause) -> FromClause:
    """What an UPDATE of the claimed rows tells is there to be looked up: its RETURNING knows none but its own table."""
    assert isinstance(step.table, sa.Table)
    return sa.select(*told).where(step.table.c.id == claimed.c.id).subquery(name)
