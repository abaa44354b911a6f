"""Tables: an id that is shown can be pasted back, whatever the width of the terminal and the length of its neighbours."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.processes import Waitctl
from tests.cli.terminal import on_a_terminal
from waitctl.cli.output import GAP
from waitctl.cli.tables import Column, fit, without

WIDTHS = (60, 80, 100, 140)
INSTANTS = {"WHEN", "RECEIVED", "AT"}
"""Columns of what says nothing when it is cut."""

TAIL = re.compile(r"\b[0-9a-f]{12}\b")

COLUMNS = st.lists(
    st.builds(Column, st.just("C"), st.integers(0, 9), st.booleans(), st.just(False)), min_size=1, max_size=8
)


@given(COLUMNS, st.data(), st.integers(60, 200))
def test_a_table_fits_and_keeps_its_id(others: list[Column], data: st.DataObject, width: int) -> None:
    columns = [Column("ID", 100, whole=True, kept=True), *others]
    natural = [12, *(data.draw(st.integers(1, 300)) for _ in others)]
    widths = fit(columns, natural, width)
    shown = [each for each in widths if each]
    assert widths[0] == 12
    assert sum(shown) + GAP * (len(shown) - 1) <= width
    for column, wanted, got in zip(columns, natural, widths, strict=True):
        assert got <= wanted
        assert not column.whole or got in {0, wanted}
    if sum(natural) + GAP * (len(natural) - 1) <= width:
        assert widths == natural


def test_what_matters_least_gives_way_first() -> None:
    columns = [Column("ID", 100, whole=True, kept=True), Column("A", 1), Column("B", 2), Column("C", 3, whole=True)]
    assert fit(columns, [12, 20, 20, 10], 68) == [12, 20, 20, 10]
    assert fit(columns, [12, 20, 20, 10], 60) == [12, 12, 20, 10]
    assert fit(columns, [12, 20, 20, 10], 50) == [12, 8, 14, 10]
    assert fit(columns, [12, 20, 20, 10], 40) == [12, 0, 14, 10]
    assert fit(columns, [12, 20, 20, 10], 30) == [12, 0, 0, 10]


def test_what_matters_most_leaves_the_others_legible() -> None:
    columns = [Column("ID", 100, whole=True, kept=True), Column("A", 1), Column("B", 2)]
    assert fit(columns, [12, 50, 90], 100) == [12, 20, 64]
    assert fit(columns, [12, 50, 90], 50) == [12, 14, 20]


def test_a_name_is_not_cut_and_what_is_empty_gives_way() -> None:
    columns = [Column("ID", 100, whole=True, kept=True), Column("EXECUTION", 2), Column("TYPE", 1, whole=True)]
    assert fit(columns, [12, 9, 10], 34) == [12, 9, 0]
    assert without({1, 2}, columns, [12, 9, 10], 35) == [12, 9, 10]
    assert without({1, 2}, columns, [12, 9, 10], 34) == [12, 0, 0]
    assert without({0}, columns, [12, 9, 10], 34) == [12, 9, 10]


def test_a_row_is_whole_where_another_column_is_empty(tmp_path: Path, migrated_sqlite_url: str) -> None:
    run = Waitctl(tmp_path, migrated_sqlite_url)
    run("create", "until-date", "2099-01-01", "-e", "order-17", "-s", "reminder").ok()
    header, row = on_a_terminal(run, "list", "-q", columns=80)
    assert header.split() == ["WAIT", "EXECUTION", "STEP", "TYPE", "STATUS", "WHEN"] and "order-17" in row


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Waitctl:
    """Every list has something, with names as long as they may be. Who asks for it only looks."""
    folder = tmp_path_factory.mktemp("full")
    run = Waitctl(folder, f"sqlite:///{shutil.copy(migrated_file, folder / 'waits.db')}")
    long, config = "x" * 255, run.folder / "config.toml"
    config.write_text('[handlers.bad]\nexec = ["sh", "-c", "echo a very long reason >&2; exit 65"]\n')
    config.chmod(0o600)
    handler = ("--handler", "bad", "--from", "2026-01-01T00:00:00Z")
    run("create", "fixed-time", "1s", "-e", long, "-s", long, "-c", f"{long[:200]}@example.org", *handler, "-o", "id")
    run("create", "for-event", "email_open", "-e", long, "-c", "ada@example.org", "--match", "a=b", "-o", "id").ok()
    run("event", "record", "email_open", "-c", "ada@example.org", "--id", long, "--data", '{"a":"c"}').ok()
    run("--config", str(config), "tick", "-q")
    run("event", "ingest", "--format", "standardwebhooks", "--no-verify", "--source", "y" * 200, stdin="no JSON")
    return run


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    ("listing", "show"),
    [
        (("list",), ("status",)),
        (("delivery", "list"), ("delivery", "show")),
        (("event", "list"), ("event", "show")),
        (("status", "--execution", "x" * 255), ("history",)),
        (("list", "--sort", "due", "--columns", "wait,execution,step,key,created"), ("status",)),
        (("event", "quarantine", "list"), ("event", "quarantine", "show")),
    ],
)
def test_what_a_table_shows_can_be_pasted_back(
    full: Waitctl, listing: tuple[str, ...], show: tuple[str, ...], columns: int
) -> None:
    header, *rows = on_a_terminal(full, *listing, columns=columns)
    assert rows
    for line in (header, *rows):
        assert len(line) <= columns
    for row in rows:
        first = row.split()[0]
        assert TAIL.fullmatch(first), row
        for name in INSTANTS & set(header.split()):
            assert not row[header.index(name) :].split("  ")[0].endswith("…"), row
        full(*show, first, "-o", "json").ok()


@pytest.mark.parametrize("columns", WIDTHS)
def test_names_that_are_typed_back_are_whole(full: Waitctl, columns: int) -> None:
    config = str(full.folder / "config.toml")
    header, *rows = on_a_terminal(full, "--config", config, "delivery", "handlers", columns=columns)
    assert [row.split()[0] for row in rows] == ["bad"] and len(set(header.split())) == len(header.split())
    header, *rows = on_a_terminal(full, "event", "providers", columns=columns)
    formats = full("event", "providers", "-o", "id").ok().lines
    assert [row.split()[0] for row in rows] == formats and header.split()[0] == "FORMAT"
    assert all(len(row) <= columns for row in rows)
