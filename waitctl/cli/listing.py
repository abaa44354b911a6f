"""Lists: how many rows are shown, which columns or keys of them, and how they are printed as they come."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Any, Generic, TypeVar

import typer

from waitctl.application.paging import in_pages
from waitctl.cli.formats import csv_text, yaml_lines
from waitctl.cli.option_sets import OptionSet, takes
from waitctl.cli.output import Output, OutputOption, json_text, say, write_id, write_line, write_text, write_unescaped
from waitctl.cli.tables import Column, choose, print_table
from waitctl.domain.values import dataclass

T = TypeVar("T")

ON_A_TERMINAL = 50
"""Rows that are shown to somebody who has not asked for more or fewer."""


class Shape(OptionSet):
    """The options that say which parts of the rows are shown."""

    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAME[,NAME…]", help="Of the table, these columns, in this order."),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="KEY[,KEY…]", help="With -o json, ndjson, yaml or csv: these keys."),
    ] = None
    output: OutputOption = Output.HUMAN

    @property
    def most(self) -> int | None:
        """How many rows are shown; ``None`` for all."""
        return None


class Listing(Shape):
    """The same, and how many rows there are to be."""

    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help="How many at most; 0 for all. On a terminal 50, else all.",
            show_default=False,
        ),
    ] = None

    @property
    def most(self) -> int | None:
        """How many rows are shown; ``None`` for all: nothing is cut that a program reads."""
        if self.limit is not None:
            return self.limit or None
        return ON_A_TERMINAL if sys.stdout.isatty() and self.output not in {Output.NDJSON, Output.ID} else None

    @property
    def enough(self) -> int | None:
        """How many rows are read, so that it is known whether there are more than are shown."""
        return None if self.most is None else self.most + 1

    def pages(
        self, read: Callable[[str | None, int], Sequence[T]], id_of: Callable[[T], str], after: str | None = None
    ) -> Iterator[T]:
        """So many rows of a list that is read in pages; see `in_pages`."""
        return in_pages(read, id_of, after=after, limit=self.enough)


takes_shape = takes("shape", Shape)
takes_listing = takes("listing", Listing)


@dataclass(frozen=True)
class Rows(Generic[T]):
    """What a list is of, and how each of its rows is shown."""

    key: str | None
    """What a JSON document calls them; the document is a plain list without."""
    id_key: str | None
    fields: Sequence[str]
    """The keys of a row's document."""
    document: Callable[[T], dict[str, Any]]
    columns: Sequence[Column]
    cells: Callable[[T], Sequence[object]]
    nothing: str
    """What is said when there is none."""


def print_rows(rows: Rows[T], found: Iterable[T], shape: Shape, *, paged: bool = False) -> None:
    """Print the rows as they come; none is held.

    ``found`` has one more than are shown, if there is one. ``paged``: ``--after ID`` goes on behind a row, and a
    document says behind which as ``next``. Raises Typer's ``BadParameter`` for a key or a column that there is not.
    """
    output, keys = shape.output, _keys(rows, shape)
    choose(rows.columns, shape.columns, wide=False)  # refused before anything is printed
    shown = _Shown(found, shape.most)
    documents = (_chosen(rows.document(each), keys) for each in shown)

    def rest() -> dict[str, Any]:
        """What stands behind the rows of a document."""
        return {"next": shown.last_id(rows) if shown.has_more() else None} if paged else {}

    match output:
        case Output.JSON:
            _write_json(rows.key, documents, rest)
        case Output.YAML:
            _write_yaml(rows.key, documents, rest)
        case Output.NDJSON | Output.CSV:
            _write_lines(documents, keys, as_csv=output is Output.CSV)
        case Output.ID:
            for each in shown:
                write_id(rows.document(each)[_id_key(rows)])
        case Output.HUMAN | Output.WIDE:
            _write_table(rows, shown, shape)
    if sys.stdout.isatty() and shown.has_more():
        beyond = f", --after {shown.last_id(rows)} for the next" if paged else ""
        say(f"{shown.number:,} shown, and there are more: --limit 0 for all{beyond}", always=True)


class _Shown(Iterator[T]):
    """The rows that are shown, ``most`` at most: how many there were, and whether there are more."""

    def __init__(self, found: Iterable[T], most: int | None) -> None:
        self._found, self._most = iter(found), most
        self.number = 0
        self.last: T | None = None
        self._beyond: T | None = None

    def __next__(self) -> T:
        if self.number == self._most:
            raise StopIteration
        self.last = next(self._found)
        self.number += 1
        return self.last

    def has_more(self) -> bool:
        """Whether there is one that is not shown. For when all have been taken that are."""
        if self._beyond is None:
            self._beyond = next(self._found, None)
        return self._beyond is not None

    def last_id(self, rows: Rows[T]) -> str | None:
        """The id of the last one that is shown."""
        return None if self.last is None else str(rows.document(self.last)[_id_key(rows)])


def _id_key(rows: Rows[T]) -> str:
    if rows.id_key is None:
        raise typer.BadParameter("there is no id to print", param_hint="--output")
    return rows.id_key


def _keys(rows: Rows[T], shape: Shape) -> Sequence[str]:
    """The keys of each document. Raises Typer's ``BadParameter`` where there is no such key, or none is printed."""
    if shape.output is Output.ID:
        _id_key(rows)
    if shape.columns is not None and not shape.output.is_for_people:
        raise typer.BadParameter(f"-o {shape.output} has no columns; --fields names its keys", param_hint="--columns")
    if shape.fields is None:
        return rows.fields
    if shape.output.is_for_people or shape.output is Output.ID:
        raise typer.BadParameter(
            "it goes with -o json, ndjson, yaml or csv; a table has --columns", param_hint="--fields"
        )
    keys = [key.strip() for key in shape.fields.split(",")]
    for key in keys:
        if key not in rows.fields:
            there = ", ".join(rows.fields)
            raise typer.BadParameter(f"there is no key {key!a}, but {there}", param_hint="--fields")
    return keys


def _chosen(document: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: document[key] for key in keys}


def _write_lines(documents: Iterator[Any], keys: Sequence[str], *, as_csv: bool) -> None:
    if as_csv:
        write_unescaped(csv_text([], keys))
    for document in documents:
        if as_csv:
            write_unescaped(csv_text([document], keys, header=False))
        else:
            write_line(json_text(document))


def _write_table(rows: Rows[T], shown: Iterator[T], shape: Shape) -> None:
    first = list(islice(shown, 1))
    if not first:
        say(rows.nothing)
        return
    cells = map(rows.cells, chain(first, shown))
    print_table(rows.columns, cells, names=shape.columns, wide=shape.output is Output.WIDE)


def _write_json(key: str | None, documents: Iterator[Any], rest: Callable[[], dict[str, Any]]) -> None:
    """As `json_text` writes ``{key: [documents], **rest}``, or the plain list, a document at a time."""
    indent = "  " if key is None else "    "
    opening, closing = ("[", "]") if key is None else (f"{{\n  {json_text(key)}: [", "  ]")
    first = next(documents, None)
    if first is None:
        text = opening + closing.strip()
    else:
        write_text(opening)
        for number, document in enumerate(chain([first], documents)):
            lines = json_text(document, indent=2).replace("\n", f"\n{indent}")
            write_text(f"{',' if number else ''}\n{indent}{lines}")
        text = f"\n{closing}"
    if key is not None:
        text += "".join(f",\n  {json_text(name)}: {json_text(value)}" for name, value in rest().items()) + "\n}"
    write_line(text)


def _write_yaml(key: str | None, documents: Iterator[Any], rest: Callable[[], dict[str, Any]]) -> None:
    """As `yaml_text` writes ``{key: [documents], **rest}``, or the plain list, a document at a time."""
    first = next(documents, None)
    if first is None:
        write_line("[]" if key is None else f"{key}: []")
    else:
        if key is not None:
            write_line(f"{key}:")
        for document in chain([first], documents):
            for line in yaml_lines([document], "" if key is None else "  "):
                write_text(f"{line}\n")
    for line in yaml_lines(rest()) if key is not None and rest() else ():
        write_line(line)
