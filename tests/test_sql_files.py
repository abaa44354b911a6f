"""docs/sql shows what is sent, and what is sent has no shape that a sharded PostgreSQL refuses."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import cache

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import pq

from tests.golden_sql import DIALECTS, FOLDER, RENDERED, files, lay_out, render, rendered
from tests.interleaving import statements
from waitctl import Database, Settings, Tick, WaitSchedulingService, WaitSpec
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.rendered import postgresql as rendered_for_postgresql
from waitctl.infrastructure.sql_batch import STATEMENTS, statement

PAST = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def texts() -> dict[str, str]:
    """What the files are to hold."""
    return dict(files())


def body(name: str) -> str:
    """A file's statements without comments, on one line."""
    return " ".join(line.strip() for line in texts()[name].splitlines() if not line.startswith("--"))


def test_the_files_hold_what_is_sent() -> None:
    there = {str(file.relative_to(FOLDER)): file.read_text(encoding="utf-8") for file in FOLDER.glob("*/*.sql")}
    assert there.keys() == texts().keys(), "make sql writes them anew"
    assert [name for name, text in texts().items() if there[name] != text] == [], "make sql writes them anew"


def test_each_file_says_what_its_statement_does() -> None:
    for name, text in texts().items():
        first, second, *_ = text.splitlines()
        assert first == f"-- {name.partition('/')[2].removesuffix('.sql')}"
        assert re.fullmatch(r"-- .{20,}", second), name


def test_rows_that_are_locked_say_in_which_order() -> None:
    for name, text in texts().items():
        if "FOR UPDATE" in body(name):
            assert re.search("[Ll]ock", text.partition("FOR UPDATE")[0]), name


def test_ctes_are_named_by_what_they_hold() -> None:
    names = {cte for name in texts() for cte in re.findall(r'(?:WITH|\),) "?(\w+)"? AS \(', body(name))}
    assert names >= {"claimed", "ended", "audited", "closed", "sent", "leased"}
    assert not [cte for cte in names if re.search(r"\d|anon|step", cte)]


def test_a_tick_sends_what_the_file_shows(postgres_url: str) -> None:
    """The driver gets the text of the file: names of parameters are all that differs."""
    with Database(postgres_url) as database:
        database.upgrade()
        WaitSchedulingService(database).create_fixed_time_wait("1h", WaitSpec("shown"), base=PAST)
        with statements() as seen:
            assert Tick(database, Settings("")).run().resumed == 1
    sent = {plain(re.sub(r"%\((\w+)\)s", r":\1", text)) for text, _ in seen}
    for name in ("claim_oldest", "find_expired"):
        assert plain(body(f"postgresql/{name}.sql")).rstrip(";") in sent, name
    assert any(plain(body(f"postgresql/{name}.sql")).rstrip(";") in sent for name in ("resume_due", "resume_and_lease"))


NUMERIC = 1700
"""PostgreSQL's number of the type whose values are decimals in Python."""


def test_no_statement_answers_with_decimals(postgres_url: str) -> None:
    """A sum of bigints is one: in JSON and on pages its digits look like an integer's until it is divided."""
    with Database(postgres_url) as database:
        database.upgrade()
    decimals = {}
    with psycopg.connect(postgres_url) as connection:
        for key, parts in rendered_for_postgresql.STATEMENTS.items():
            for _, text, *_ in json.loads(parts):
                prepared = connection.pgconn.prepare(b"", numbered(text).encode())
                assert prepared.status == pq.ExecStatus.COMMAND_OK, (key, prepared.error_message)
                answer = connection.pgconn.describe_prepared(b"")
                if any(answer.ftype(column) == NUMERIC for column in range(answer.nfields)):
                    decimals[key] = text
    assert decimals == {}


def numbered(text: str) -> str:
    """A driver's text with its parameters as the server has them."""
    names: dict[str, str] = {}
    return re.sub(r"%\((\w+)\)s", lambda each: names.setdefault(each[1], f"${len(names) + 1}"), text).replace("%%", "%")


def plain(text: str) -> str:
    return re.sub(r"\s+", "", text)


# -- shapes ------------------------------------------------------------------------------------------------------------

VOLATILE = r"\b(?:waitctl_uuidv7|gen_random_uuid|clock_timestamp|random|nextval)\b"


def shapes(text: str) -> list[str]:
    """What a sharded PostgreSQL refuses in this statement."""
    found = []
    locked, lock, _ = text.rpartition("FOR UPDATE")  # and the CTEs that it reads
    if lock and "INSERT INTO" in text and re.search(r"\bOVER \(|\bLATERAL\b|\bDISTINCT ON\b", locked):
        found.append("a window, LATERAL or DISTINCT ON under a row lock that feeds an INSERT")
    for start in (match.end() for match in re.finditer(r"\bRETURNING\b", text)):
        returned = returning(text[start:])
        if "SELECT" in returned:
            found.append("a sub-select in RETURNING")
        if re.search(VOLATILE, returned):
            found.append("a volatile function in RETURNING")
    return found


def returning(rest: str) -> str:
    """What stands behind RETURNING, to the end of its statement or CTE."""
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "(") - (character == ")")
        if depth < 0 or character == ";":
            return rest[:place]
    return rest


@pytest.mark.parametrize(
    "text",
    [
        "WITH a AS (SELECT id, row_number() OVER (ORDER BY id) FROM w FOR UPDATE) INSERT INTO t SELECT id FROM a",
        "WITH a AS (SELECT DISTINCT ON (id) id FROM w FOR UPDATE OF w) INSERT INTO t SELECT id FROM a",
        "UPDATE w SET a = 1 RETURNING id, EXISTS (SELECT 1 FROM t WHERE t.id = w.id)",
        "WITH a AS (INSERT INTO t VALUES (1) RETURNING id, (SELECT true FROM w LIMIT 1)) SELECT id FROM a",
        "INSERT INTO t VALUES (1) RETURNING clock_timestamp()",
    ],
)
def test_the_shapes_are_found(text: str) -> None:
    assert shapes(text)


def test_no_statement_has_a_shape_that_a_sharded_database_refuses() -> None:
    concerned = [name for name, text in texts().items() if name.startswith("postgresql/") or "RETURNING" in text]
    assert {name: found for name in concerned if (found := shapes(body(name)))} == {}


# -- the layout --------------------------------------------------------------------------------------------------------


_LIST_BESIDE_JOIN = re.compile(r"(\S+) = \S+ AND \1 = ANY \(ARRAY")


def test_no_list_stands_beside_a_join_of_few() -> None:
    """PostgreSQL sorts it for each row that it looks up: half of the time of a batch of events."""
    beside = {name for name in texts() if _LIST_BESIDE_JOIN.search(" ".join(body(name).split()))}
    assert {name.partition("/")[2] for name in beside} == {
        "go_on.sql",
        "resume_and_lease.sql",
        "resume_due.sql",
        "resume_late.sql",
        "resume_late-silent.sql",
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_layout_changes_white_space_alone(dialect: str) -> None:
    resume = STATEMENTS["resume_matching"]("events")
    for step in getattr(resume, dialect).values():
        text = render(step, dialect)
        assert plain(lay_out(text)) == plain(text)


def test_the_layout_leaves_texts_as_they_are() -> None:
    assert lay_out("SELECT ' FROM  x',  a\nFROM t WHERE b = 'c AND d' AND e") == (
        "SELECT ' FROM  x', a\nFROM t\nWHERE b = 'c AND d'\n  AND e"
    )


def test_a_clause_has_a_line_and_a_sub_select_is_indented() -> None:
    laid = lay_out(
        "WITH a AS (SELECT x FROM t WHERE y IN (SELECT z FROM u) LIMIT 1 FOR UPDATE) SELECT CASE WHEN b AND c END"
    )
    assert laid.splitlines() == [
        "WITH a AS (",
        "    SELECT x",
        "    FROM t",
        "    WHERE y IN (",
        "        SELECT z",
        "        FROM u",
        "    )",
        "    LIMIT 1",
        "    FOR UPDATE",
        ")",
        "SELECT CASE WHEN b AND c END",
    ]


# -- names -------------------------------------------------------------------------------------------------------------


def test_two_statements_cannot_have_one_name() -> None:
    def get_wait() -> sa.Select[int]:
        return sa.select(sa.literal(1))

    with pytest.raises(AssertionError, match="get_wait"):
        statement(get_wait)


def test_the_package_holds_what_is_sent() -> None:
    """Text, parameters and columns of each, rendered anew; what is no kind by name could not be kept as text."""
    for name, text in rendered():
        assert (RENDERED / name).read_text(encoding="utf-8") == text, "make sql writes it anew"


def test_what_nobody_has_rendered_is_rendered_when_it_is_asked_for(url: str) -> None:
    unusual = kept("count_of_workflows", DeliveryStatus.PENDING, frozenset({"billing", "shop"}))
    with Database(url) as database:
        database.upgrade()
        with database.read() as connection:
            assert connection.execute(unusual, {"of_handler": "nudge"}).scalar_one() == 0


# -- dialects ----------------------------------------------------------------------------------------------------------


def test_the_store_asks_for_no_dialect() -> None:
    """What differs is decided by the compiler, and in `sql_batch` for the few statements whose shape does."""
    folder = FOLDER.parents[1] / "waitctl" / "infrastructure" / "store"
    asking = re.compile(r"is_sqlite|dialect\.name|get_backend_name|speaks_")
    assert [file.name for file in folder.rglob("*.py") if asking.search(file.read_text(encoding="utf-8"))] == []
