"""Tables for people: ids stay whole at every width, and the least important columns give way to the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import typer

from waitctl.cli.output import Tail, clean, console, write_line

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2
"""Blanks between two columns."""

_SHORTEST = 8
"""Characters that a column is cut to before another one is dropped."""

_AT_ONCE = 1000
"""Rows that are held and measured together; those after the first so many are set to the same widths."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The lower its ``rank``, the sooner it is cut, and then dropped.

    ``whole``: an id or a status, which says nothing when it is cut: it stays as it is, or drops out. ``kept``: never
    dropped either, since it is what a next command takes. ``extra``: only with ``-o wide``, or when it is asked for.
    """

    name: str
    rank: int
    whole: bool = False
    kept: bool = False
    extra: bool = False


def id_column(name: str) -> Column:
    """The column of what the rows are about: it can be pasted back at every width from 60 characters."""
    return Column(name, 100, whole=True, kept=True)


def choose(columns: Sequence[Column], names: str | None, *, wide: bool) -> list[int]:
    """The places of the columns that are shown: those named (``id,last-error``), or all; the extra ones with ``wide``.

    Raises Typer's ``BadParameter`` for a name that no column has.
    """
    if names is None:
        return [place for place, column in enumerate(columns) if wide or not column.extra]
    known = {column.name: place for place, column in enumerate(columns)}
    wanted = [name.strip().upper().replace("-", " ").replace("_", " ") for name in names.split(",")]
    for name in wanted:
        if name not in known:
            there = ", ".join(each.lower().replace(" ", "-") for each in known)
            raise typer.BadParameter(f"there is no column {name.lower()!a}, but {there}", param_hint="--columns")
    return [known[name] for name in wanted]


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], *, names: str | None = None, wide: bool = False
) -> None:
    """A table, its cells cleaned and never read as markup, printed as the rows come.

    Piped or ``wide``, nothing is cut or left out, and ``wide`` shows ids whole. ``names``: see `choose`.
    """
    places = choose(columns, names, wide=wide)
    shown = [columns[place] for place in places]
    if names is not None:
        shown = [replace(column, kept=True) for column in shown]  # who names a column wants to see it

    def cells(row: Sequence[object]) -> list[Text]:
        return [_text(row[place], wide=wide) for place in places]

    left = map(cells, rows)
    first = list(islice(left, _AT_ONCE))
    widths = _natural_widths(shown, first)
    fits = sys.stdout.isatty() and not wide
    if fits:
        widths = fit(shown, widths, console().width)
    write = _write_fitted if fits else _write_plain
    write([], widths, shown)
    for part in chain([first], iter(lambda: list(islice(left, _AT_ONCE)), [])):
        write(part, widths)


def _natural_widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max(text.cell_len for text in (_text(column.name), *(row[place] for row in rows)))
        for place, column in enumerate(columns)
    ]


def _write_fitted(rows: Sequence[Sequence[Text]], widths: Sequence[int], header: Sequence[Column] = ()) -> None:
    from rich.table import Table

    shown = [place for place, width in enumerate(widths) if width]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), show_header=bool(header))
    for place in shown:
        name = header[place].name if header else ""
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=widths[place])
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    if rows or header:
        console().print(table)


def _write_plain(rows: Sequence[Sequence[Text]], widths: Sequence[int], header: Sequence[Column] = ()) -> None:
    titles = [[_text(column.name) for column in header]] if header else []
    for row in chain(titles, rows):
        padded = (text.plain + " " * (width - text.cell_len) for text, width in zip(row, widths, strict=True))
        write_line((" " * GAP).join(padded).rstrip())


def fit(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """How wide each column is in a table of ``width`` characters; 0 for one that is left out.

    First columns are cut, the least important first, then left out in the same order; what became free goes to the most
    important of those that were cut.
    """
    widths = list(natural)
    by_rank = sorted(range(len(columns)), key=lambda place: columns[place].rank)

    def missing() -> int:
        shown = [each for each in widths if each]
        return sum(shown) + GAP * (len(shown) - 1) - width

    for place in by_rank:
        if not columns[place].whole:
            widths[place] -= max(0, min(missing(), widths[place] - _SHORTEST))
    for place in by_rank:
        if missing() > 0 and not columns[place].kept:
            widths[place] = 0
    for place in reversed(by_rank):
        if widths[place]:
            widths[place] += max(0, min(-missing(), natural[place] - widths[place]))
    return widths


def _text(cell: object, *, wide: bool = False) -> Text:
    from rich.text import Text

    if isinstance(cell, Tail) and wide:
        cell = cell.whole
    return cell if isinstance(cell, Text) else Text(clean("" if cell is None else cell))
