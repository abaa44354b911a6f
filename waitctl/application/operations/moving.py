"""Move a database, or some of its waits, to another: out to a file, and in from one, whichever kind each is of.

The file is read and written in bounded memory. It is one moment of the database that it comes from, whatever ticks
meanwhile, and it comes into the other one whole or not at all.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, BinaryIO

from waitctl.application.inline_commands import InlineCommands
from waitctl.domain.errors import DatabaseNotEmptyError, InvalidExportError
from waitctl.domain.exports import DueNext, Footer, Header, RowWriter, canonical, read_exactly, read_row
from waitctl.domain.filters import EVERY_WAIT, WaitFilter
from waitctl.domain.handlers import InlineCommand
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.inline_key import InlineKey
from waitctl.infrastructure.schema_version import HEAD
from waitctl.infrastructure.store import moving as store
from waitctl.infrastructure.store.moving import RefusedRowError
from waitctl.infrastructure.store.statements.moving import MOVED, MovedTable

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a line: far more than any row has that came in by a door of ours."""

OLDEST = "0013"
"""The oldest migration whose rows mean what they mean now. One that only adds leaves it as it is."""

Told = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Moving:
    """What was moved: rows by their tables, and what is due next."""

    counts: dict[str, int]
    due_next: DueNext

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def to_json(self) -> JsonObject:
        """The document of `waitctl export`."""
        return {**self.counts, "due_next": self.due_next.to_json()}


# -- out ---------------------------------------------------------------------------------------------------------------


class Export:
    """Reads out a database, or the waits that ``wanted`` means and what belongs to them."""

    def __init__(self, database: Database, wanted: WaitFilter = EVERY_WAIT) -> None:
        self._database = database
        self._wanted = wanted.checked()

    def write(self, file: BinaryIO, told: Told = lambda _: None) -> Moving:
        """Write the file; ``told`` hears now and then how many rows there are. Raises `InvalidExportError`."""
        with self._database.patience.unlimited(), self._database.read() as connection:
            store.hold_still(connection)
            return self._write(connection, file, told)

    def _write(self, connection: Connection, file: BinaryIO, told: Told) -> Moving:
        of = store.chosen(self._wanted, self._database.clock(connection))
        digest = sha256()
        counts = dict.fromkeys((moved.name for moved in MOVED), 0)

        def put(line: str) -> None:
            encoded = line.encode()
            digest.update(encoded)
            file.write(encoded)

        put(Header(HEAD, whole=of is None).line())
        total = 0
        for moved in MOVED:
            writer = RowWriter(moved.name, moved.fields)
            for row in store.read_rows(connection, moved, of):
                put(_line(writer, moved, row))
                counts[moved.name] += 1
                total += 1
                if total % store.AT_ONCE == 0:
                    told(total)
        done = Moving(counts, store.due_next(connection, of))
        file.write(Footer(counts, done.due_next.to_json(), digest.hexdigest()).line().encode())
        return done


def _line(writer: RowWriter, moved: MovedTable, row: tuple[Any, ...]) -> str:
    try:
        return writer.line(row)
    except (ValueError, RecursionError) as error:
        raise InvalidExportError(
            f"a row of {moved.table.name} cannot be written: {row[0]}: {error}",
            hint="something else has written to this table; waitctl tick sorts out what came in by the inbox table",
        ) from error


# -- in ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Imported(Moving):
    """What came in. Of the commands that waits bring along, those that may run here and those that are held."""

    signed: int = 0
    held: int = 0

    def to_json(self) -> JsonObject:
        """The document of `waitctl import`."""
        commands = {"signed": self.signed, "held": self.held}
        return {**Moving.to_json(self), "inline_commands": commands, "matches": True}


def read_export_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of an export, numbered from 1. Raises `InvalidExportError` for compressed data that are damaged."""
    number = 0
    try:
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise InvalidExportError(f"line {number} is longer than {MAX_LINE:,} bytes")
            yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidExportError(f"the file is damaged behind line {number}: {error}") from error


class Import:
    """Reads an export into an empty database: all of it, or nothing.

    The commands that waits bring along run where this user's key has signed them, and with ``sign`` it signs them all.
    """

    def __init__(self, database: Database, inline: InlineCommands, *, sign: bool = False) -> None:
        self._database = database
        self._commands = _Commands(inline, sign=sign)

    def read(
        self, lines: Iterator[tuple[int, bytes]], told: Told = lambda _: None, *, dry_run: bool = False
    ) -> Imported:
        """Read the lines, as `read_export_lines` has them; ``told`` hears now and then how many there were.

        With ``dry_run`` everything is tried and undone. Raises `InvalidExportError`, which names the line, and
        `DatabaseNotEmptyError`.
        """
        with self._database.patience.unlimited():
            return self._database.write(lambda connection: self._read(connection, lines, told), rollback=dry_run)

    def _read(self, connection: Connection, lines: Iterator[tuple[int, bytes]], told: Told) -> Imported:
        store.shut_others_out(connection)
        if (name := store.first_that_is_there(connection)) is not None:
            raise DatabaseNotEmptyError(
                f"{self._database.name} is not empty: it has {name}", hint="import into a database of its own"
            )
        file = _File(lines, told)
        store.clear_seeds(connection, whole=file.header.whole)
        for batch in file.batches():
            if batch.moved.name == "waits":
                batch.rows[:] = map(self._commands.looked_at, batch.rows)
            _insert(connection, batch)
        store.settle_in(connection)
        due_next = store.due_next(connection)
        if due_next.to_json() != file.footer.due_next:
            raise InvalidExportError("what is due next is not what the last line says")
        return Imported(file.counts, due_next, self._commands.signed, self._commands.held)


@dataclass(slots=True)
class _Batch:
    """Rows of a table that have the same columns, and where their lines begin."""

    moved: MovedTable
    line: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def goes_on_with(self, moved: MovedTable, row: dict[str, Any]) -> bool:
        return moved is self.moved and len(self.rows) < store.AT_ONCE and row.keys() == self.rows[0].keys()


def _insert(connection: Connection, batch: _Batch) -> None:
    try:
        store.insert_rows(connection, batch.moved, batch.rows)
    except RefusedRowError as error:
        last = batch.line + len(batch.rows) - 1
        place = f"line {batch.line + error.place}" if error.place is not None else f"lines {batch.line} to {last}"
        raise InvalidExportError(f"{place}: {error.message}") from error


class _File:
    """The lines of an export as rows, and what the first and the last one say."""

    def __init__(self, lines: Iterator[tuple[int, bytes]], told: Told) -> None:
        self._lines = lines
        self._told = told
        self._digest = sha256()
        self._place = 0
        self.counts = dict.fromkeys((moved.name for moved in MOVED), 0)
        number, line = next(lines, (1, b"{}"))
        self.header = Header.read(_fields(number, line))
        if self.header.schema > HEAD:
            raise InvalidExportError(
                f"it comes from a database at {self.header.schema}, newer than this waitctl ({HEAD})",
                hint="upgrade waitctl on this host",
            )
        if self.header.schema < OLDEST:
            raise InvalidExportError(
                f"it comes from a database at {self.header.schema}, and this waitctl reads those from {OLDEST} on",
                hint="import it with the waitctl that wrote it, upgrade, and export again",
            )
        self._digest.update(line)
        self.footer = Footer({}, {}, "")

    def batches(self) -> Iterator[_Batch]:
        """The rows, some at a time, in their order. Raises `InvalidExportError`."""
        batch: _Batch | None = None
        for number, moved, row in self._rows():
            if batch is not None and not batch.goes_on_with(moved, row):
                yield batch
                self._told(number)
                batch = None
            batch = batch or _Batch(moved, number)
            batch.rows.append(row)
        if batch is not None:
            yield batch

    def _rows(self) -> Iterator[tuple[int, MovedTable, dict[str, Any]]]:
        ended = False
        for number, line in self._lines:
            if ended:
                raise InvalidExportError(f"line {number}: there is more behind the last line")
            fields = _fields(number, line)
            if (footer := Footer.read(fields)) is not None:
                self._check(number, footer)
                ended = True
                continue
            self._digest.update(line)
            moved, row = self._row(number, fields)
            self.counts[moved.name] += 1
            yield number, moved, row
        if not ended:
            raise InvalidExportError("the file is cut off: its last line, which says what there is, is missing")

    def _row(self, number: int, fields: JsonObject) -> tuple[MovedTable, dict[str, Any]]:
        match fields:
            case {"table": str(name), "row": dict(row), **rest} if not rest and name in _PLACES:
                place = _PLACES[name]
            case _:
                raise InvalidExportError(f"line {number}: it is no row of a table that waitctl knows")
        if place < self._place:
            raise InvalidExportError(f"line {number}: {name} come before {MOVED[self._place].name}")
        self._place = place
        try:
            return MOVED[place], read_row(MOVED[place].fields, row)
        except InvalidExportError as error:
            raise InvalidExportError(f"line {number}: {name}: {error.message}") from error

    def _check(self, number: int, footer: Footer) -> None:
        for name, count in self.counts.items():
            if footer.counts.get(name) != count:
                raise InvalidExportError(
                    f"line {number}: {footer.counts.get(name)} {name} are to be here, and {count} are"
                )
        if self._digest.hexdigest() != footer.sha256:
            raise InvalidExportError(f"line {number}: the lines before it are not those that were written")
        self.footer = footer


_PLACES = {moved.name: place for place, moved in enumerate(MOVED)}


def _fields(number: int, line: bytes) -> JsonObject:
    try:
        found = read_exactly(line.decode("ascii"))
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else "no ASCII"
        raise InvalidExportError(f"line {number}: it is not valid JSON: {reason}") from error
    if not isinstance(found, dict):
        raise InvalidExportError(f"line {number}: it is no JSON object")
    return found


class _Commands:
    """What becomes of the commands that waits bring along: who has signed them is who made them."""

    def __init__(self, inline: InlineCommands, *, sign: bool) -> None:
        self._inline = inline
        self._sign = sign
        self.signed = self.held = 0

    @cached_property
    def _key(self) -> InlineKey | None:
        return self._inline.key_to_sign() if self._sign else self._inline.key_to_verify()

    def looked_at(self, row: dict[str, Any]) -> dict[str, Any]:
        """A wait's row, its command signed if it is to be."""
        if row["command"] is None:
            return row
        stored = json.loads(row["command"])
        command = InlineCommand.from_json(stored)
        if command is None or self._key is None:
            self.held += 1
        elif self._sign:
            self.signed += 1
            mac = self._key.sign(row["id"], command)
            return row | {"command": canonical(command.to_json() | {"mac": mac})}
        elif self._key.verifies(row["id"], command, str(stored.get("mac"))):
            self.signed += 1
        else:
            self.held += 1
        return row
