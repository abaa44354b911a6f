"""The kept statements as text, a clause a line: what docs/sql shows. ``make sql`` writes it anew."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from inspect import getdoc
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import waitctl.infrastructure.kept as kept_module
from waitctl.application.documents import WAIT_FIELDS
from waitctl.domain.analytics import Dimension
from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import TRANSITIONS, DeliveryStatus, Resolution, WaitExecutionStatus
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.rendering import load_statements, render_kept
from waitctl.infrastructure.schema import deliveries, tombstones, transitions, waits, webhook_tokens
from waitctl.infrastructure.sql_batch import STATEMENTS, Claimed
from waitctl.infrastructure.store.id_search import HasId
from waitctl.infrastructure.store.overview import UNSETTLED
from waitctl.infrastructure.store.statements.filters import list_statement

FOLDER = Path(__file__).parents[1] / "docs" / "sql"
RENDERED = Path(kept_module.__file__).parent / "rendered"
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

load_statements()

DIALECTS: Mapping[str, sa.Dialect] = {
    name: sa.create_engine(url, paramstyle="named").dialect
    for name, url in (("postgresql", "postgresql+psycopg://"), ("sqlite", "sqlite+pysqlite://"))
}

ONLY = {
    "insert_events": "sqlite",
    "set_instants": "sqlite",
    "insert_events_and_sum_up": "postgresql",
    "insert_presumed_new": "postgresql",
    "look_for_exceptions": "postgresql",
    "create_waits": "postgresql",
    "store_waits": "sqlite",
    "note_stored": "sqlite",
    "store_listeners": "sqlite",
    "go_on": "postgresql",
    "store_next": "sqlite",
    "audit_next": "sqlite",
    "note_next": "sqlite",
}

_SCOPES = {"events": ("events",), "wait": ("wait",)}
_KINDS = {"" if kind is HasId.WAIT else kind.name.lower(): (kind,) for kind in HasId}
_NOW = datetime(2026, 1, 1, tzinfo=UTC)

# What statements that differ by an argument are shown for, by the word that their files' names end in.
ARGUMENTS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "analytics": {"": (None,)} | {each.value: (each,) for each in Dimension},
    "count_by_handler": {"running": (DeliveryStatus.RUNNING,), "dead": (DeliveryStatus.DEAD,)},
    "count_of_workflows": {str(each): (each, frozenset({"billing"})) for each in UNSETTLED},
    "delete_of": {"waits": (waits.name,), "deliveries": (deliveries.name,), "transitions": (transitions.name,)},
    "forget": {"tombstones": (tombstones.name,), "tokens": (webhook_tokens.name,)},
    "look_back": {
        "waits": ("waits", False),
        "waits-after": ("waits", True),
        "events": ("events", False),
        "events-after": ("events", True),
        "deliveries": ("deliveries", False),
    },
    "find_id": _KINDS,
    "find_ids": _KINDS,
    "history": {"": (), "newest": (True,)},
    "list_newest": {"": (False,), "after": (True,)},
    "newest_waits": {"": (False,), "open": (True,)},
    "newest_deliveries": {"": (False,), "undone": (True,)},
    "get_template": {"": (False,), "version": (True,)},
    "find_unclaimed": {"": (frozenset(),), "paused": (frozenset({"billing"}),)},
    "delete_older": {"": (False,), "source": (True,)},
    "count_held": {"": (frozenset({"billing"}),)},
    "get_fields": {"": (WAIT_FIELDS,)},
    "waits_of_execution": {"": (False,), "step": (True,)},
    "count_upcoming": {"": (False,), "workflow": (True,)},
    "end_planned": {"resume": (Resolution.MANUAL,), "cancel": (Resolution.CANCELLED,)},
    "reopen_planned": {str(to): (to,) for to in (WaitExecutionStatus.WAITING, WaitExecutionStatus.SCHEDULED)},
    "get_plans": {"": (False,), "one": (True,)},
    **{
        name: {"": (False,), "undo": (True,)}
        for name in ("finish_run", "next_entries", "look_at_entries", "note_skipped")
    },
    **{name: {"": (False,), "back": (True,)} for name in ("move_planned", "redirect_planned")},
    "end_by_hand": {"resume": (Resolution.MANUAL,), "cancel": (Resolution.CANCELLED,)},
    "inline_commands": {"": (False,), "claimable": (True,)},
    "claim_deliveries": {
        "": (frozenset(), False, False),
        "lapsed": (frozenset(), True, False),
        "paused": (frozenset({"billing"}), False, False),
        "but": (frozenset(), False, True),
    },
    "create_waits": {"": (False,), "listening": (True,)},
    "mark_waits": {str(to): (to,) for to in (WaitExecutionStatus.ERROR, *TRANSITIONS[WaitExecutionStatus.ERROR])},
    "resume_and_lease": {"": (WAIT_FIELDS,)},
    "end_recurrences": {"": (False,), "pause": (True,)},
    "resume_late": {"": (True,), "silent": (False,)},
    "count_events": _SCOPES | {"judged": ("judged",)},
    "find_earlier": {"beyond": ("beyond",), "among": ("among",)},
    **dict.fromkeys(
        (
            "lock_grouped",
            "close_satisfied",
            "resume_matching",
            "kinds_of_listeners",
            "resume_complete",
            "claim_complete_gated",
        ),
        _SCOPES,
    ),
}


def files() -> Iterator[tuple[str, str]]:
    """Every file of docs/sql, by its name in there, and what it is to hold."""
    for name, build in STATEMENTS.items():
        for variant, arguments in ARGUMENTS.get(name, {"": ()}).items():
            yield from _file(
                f"{name}-{variant}" if variant else name, getdoc(build) or "", build(*arguments), ONLY.get(name)
            )
    wanted = WaitFilter(statuses=(WaitExecutionStatus.WAITING,), workflow_id="billing", overdue=True)
    yield from _file("list_waits", "Waits, newest first; here the overdue ones of a workflow.", _page(wanted), None)


def _page(wanted: WaitFilter) -> sa.Select[Any]:
    return list_statement(wanted, now=_NOW).limit(50)


def _file(name: str, sentence: str, built: sa.Executable | Claimed, only: str | None) -> Iterator[tuple[str, str]]:
    for dialect in DIALECTS:
        if only in {None, dialect}:
            steps = getattr(built, dialect) if isinstance(built, Claimed) else {"": built}
            texts = [
                f"{f'-- {step}' + chr(10) if step else ''}{lay_out(render(each, dialect))};"
                for step, each in steps.items()
            ]
            head = "\n".join(f"-- {line}".rstrip() for line in [name, *sentence.splitlines()])
            yield f"{dialect}/{name}.sql", "\n\n".join([head, *texts]) + "\n"


def render(statement: Any, dialect: str) -> str:
    """The statement as the driver gets it, but with its parameters named ``:name``."""
    compiled = statement.compile(dialect=DIALECTS[dialect])

    def value(match: re.Match[str]) -> str:
        parameter = compiled.binds[match[1]]
        values = parameter.value if parameter.expanding else [parameter.value]
        return ", ".join(compiled.render_literal_value(each, parameter.type) for each in values)

    return re.sub(r"__\[POSTCOMPILE_(\w+)\]", value, str(compiled))


# -- the layout --------------------------------------------------------------------------------------------------------

_WIDTH = 100
_TOKEN = re.compile(r"""(\s*)('(?:[^']|'')*'|"[^"]*"|[()]|[^\s()'"]+)""")
_STARTS = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"}
_CLAUSES = _STARTS | {"FROM", "JOIN", "LEFT", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "FOR", "UNION", "VALUES"}
_CLAUSES |= {"SET", "ON CONFLICT", "RETURNING"}
_PARTS = {"FOR UPDATE", "DELETE FROM", "OUTER JOIN", "TIMESTAMP WITH"}
"""Whose second word begins no clause."""


def lay_out(sql: str) -> str:
    """A clause a line, sub-selects and CTEs indented; nothing but white space changes."""
    tokens = [(bool(space), word) for space, word in _TOKEN.findall(sql)]
    words = [word for _, word in tokens]
    lines, line, stack, cases = [], "", [True], 0

    def end_line(indent: int) -> str:
        if line.strip():
            lines.append(line)
        return " " * indent

    for place, (space, word) in enumerate(tokens):
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        indent = 4 * (sum(stack) - 1)
        cases += word.endswith("CASE") - (word.rstrip(",") == "END")
        if word == ")" and stack.pop():
            line = end_line(indent - 4)
        elif stack[-1] and not cases and word in {"AND", "OR"}:
            line = end_line(indent + 2)
        elif stack[-1] and {word, f"{word} {after}"} & _CLAUSES and f"{before[-9:]} {word}" not in _PARTS:
            line = end_line(indent)
        line += " " * (space and bool(line.strip())) + word.replace(" ", "\0")
        if word == "(":
            stack.append(after in _STARTS)
            line = end_line(indent + 4) if stack[-1] else line
    end_line(0)
    return "\n".join(_wrap(each) for each in lines).replace("\0", " ")


def _wrap(line: str) -> str:
    """Break what is too long behind commas and before conditions."""
    indent = " " * (len(line) - len(line.lstrip()))
    kept = re.sub(r"(?<!,) (?!(?:AND|OR|WHEN|ELSE|THEN|ON) )", "\0", line.strip())
    return textwrap.fill(
        kept,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def rendered() -> Iterator[tuple[str, str]]:
    """Every module of `waitctl.infrastructure.rendered`, by its name, and what it is to hold."""
    for dialect in DIALECTS:
        lines = []
        for name in sorted(STATEMENTS):
            if ONLY.get(name) not in {None, dialect}:
                continue
            for arguments in ARGUMENTS.get(name, {"": ()}).values():
                sent = render_kept(name, arguments, dialect)
                parts = [(each.name, each.text, each.binds, each.given, each.columns) for each in sent]
                lines.append(f"    {kept(name, *arguments).key!r}: {json.dumps(parts)!r},")
        head = (
            f'"""The kept statements as {TITLES[dialect]}\'s driver gets them, each as JSON: `make sql` writes this."""'
        )
        yield f"{dialect}.py", "\n".join([head, "", "STATEMENTS = {", *sorted(lines), "}", ""])


def main() -> None:
    """Write docs/sql and the package's own form of it anew."""
    for name, text in rendered():
        (RENDERED / name).write_text(text, encoding="utf-8")
    wanted = dict(files())
    for old in FOLDER.glob("*/*.sql"):
        if str(old.relative_to(FOLDER)) not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} statements in {FOLDER}\n")


if __name__ == "__main__":
    main()
