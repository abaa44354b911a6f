"""SQLAlchemy's statements as text, with the kinds of what they are given and answer. Loads SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from waitctl.domain.text import from_json, to_json
from waitctl.infrastructure.column_types import Json, UtcDateTime
from waitctl.infrastructure.dialects import Texts, TupleText
from waitctl.infrastructure.executor import Sent
from waitctl.infrastructure.sql_batch import NAME, STATEMENTS, Claimed
from waitctl.infrastructure.store import statements

DIALECTS: Mapping[str, sa.Dialect] = {
    name: sa.create_engine(
        url, json_serializer=to_json, json_deserializer=from_json, **({"paramstyle": style} if style else {})
    ).dialect
    for name, url, style in (
        ("postgresql", "postgresql+psycopg://", None),
        ("sqlite", "sqlite+pysqlite://", "named"),
    )
}


def render_kept(name: str, arguments: tuple[Any, ...], dialect: str) -> list[Sent]:
    """What is sent for the kept statement of this name."""
    load_statements()
    built = STATEMENTS[name](*arguments)
    steps: Iterable[sa.Executable] = getattr(built, dialect).values() if isinstance(built, Claimed) else [built]
    return [render(step, dialect) for step in steps]


def load_statements() -> None:
    """Import every module that keeps some."""
    for module in walk_packages(statements.__path__, f"{statements.__name__}."):
        import_module(module.name)


def render(statement: Any, dialect: str, names: Iterable[str] = ()) -> Sent:
    """A statement as the driver gets it; ``names``: those of its parameters, of which an INSERT makes its columns."""
    known = DIALECTS[dialect]
    keys = list(names) if isinstance(statement, sa.Insert) and names else None
    compiled: Any = statement.compile(dialect=known, column_keys=keys)
    values = compiled.construct_params(_check=False)
    # As SQLAlchemy does when it executes: what is literal into the text, and a parameter for each member of a list.
    expanded = compiled._process_parameters_for_postcompile(values)  # noqa: SLF001
    values |= expanded.additional_parameters
    lists = {each: name for name, several in expanded.parameter_expansion.items() for each in several}
    binds, given = {}, {}
    for name, value in values.items():
        bind = compiled.binds[lists.get(name, name)]
        if bind.required:
            if kind := _kind(bind.type, enum="enum"):
                binds[name] = kind
        elif name not in expanded.parameter_expansion:
            process = bind.type.dialect_impl(known).bind_processor(known)
            given[name] = value if process is None else process(value)
    answers = compiled.effective_returning or isinstance(statement, sa.SelectBase)
    answered = compiled._result_columns if answers else ()  # noqa: SLF001 (nowhere else are the types to be had)
    columns = [(each.keyname, _read_kind(each.type, known)) for each in answered]
    options = statement.get_execution_options()
    return Sent(dialect, options.get(NAME), expanded.statement, binds, given, columns or None)


def _kind(type_: TypeEngine[Any], *, enum: str = "") -> str:
    """The kind of a type; none for what needs no conversion."""
    if isinstance(type_, sa.Enum):
        return enum or type_.enum_class.__name__ if type_.enum_class else ""
    kinds: Sequence[tuple[type[Any], str]] = (
        (UtcDateTime, "instant"),
        (Json, "json"),
        (sa.Boolean, "flag"),
        (TupleText, "tuples"),
        (Texts, "texts"),
    )
    return next((kind for each, kind in kinds if isinstance(type_, each) and not (enum and kind == "flag")), "")


def _read_kind(type_: TypeEngine[Any], dialect: sa.Dialect) -> Any:
    """The kind; for a type that only dynamic statements have, SQLAlchemy's own function."""
    kind = _kind(type_)
    if kind or isinstance(type_, sa.Uuid | sa.ARRAY):  # the driver hands out texts, and lists of them
        return kind
    return type_.dialect_impl(dialect).result_processor(dialect, None) or ""
