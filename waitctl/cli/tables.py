"""Tables for people: ids stay whole at every width, and the least important columns give way to the others."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from waitctl.cli.output import GAP, Tail, clean, console, write_line
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.text import did_you_mean
from waitctl.domain.values import dataclass, replace

if TYPE_CHECKING:
    from rich.text import Text

_SHORTEST = 8
"""Characters that a column is cut to before another one is dropped."""

_LEGIBLE = 20
"""Characters that columns are cut to before one is cut further."""

_AT_ONCE = 1000
"""Rows that are held and measured together; those after the first so many are set to the same widths."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The lower its ``rank``, the sooner it is cut, and then dropped.

    ``whole``: an id, a status or an instant, which says nothing when it is cut: it stays as it is, or drops out.
    ``kept``: never dropped either, since it is what a next command takes. ``extra``: only with ``-o wide``, or when it
    is asked for.
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

    Raises `InvalidSettingError` for a name that no column has.
    """
    if names is None:
        return [place for place, column in enumerate(columns) if wide or not column.extra]
    known = {column.name: place for place, column in enumerate(columns)}
    wanted = [name.strip().upper().replace("-", " ").replace("_", " ") for name in names.split(",")]
    for name in wanted:
        if name not in known:
            there = [each.lower().replace(" ", "-") for each in known]
            raise InvalidSettingError(
                f"--columns: there is no column {name.lower()!a}, but {', '.join(there)}",
                hint=did_you_mean(name.lower(), there),
            )
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

    fits = sys.stdout.isatty() and not wide
    left = ([_plain(row[place], wide=wide) if not fits else row[place] for place in places] for row in rows)
    first = list(islice(left, _AT_ONCE))
    natural = [
        max(_width(_plain(text)) for text in (column.name, *(row[place] for row in first)))
        for place, column in enumerate(shown)
    ]
    if fits:
        empty = {place for place in range(len(places)) if not any(_plain(row[place]) for row in first)}
        natural = without(empty, shown, natural, console().width)
        widths = fit(shown, natural, console().width)
    else:
        widths = natural
    write = _write_fitted if fits else _write_plain
    write([], widths, [column.name for column in shown])
    for part in chain([first], iter(lambda: list(islice(left, _AT_ONCE)), [])):
        write(part, widths)


def _write_fitted(rows: Sequence[Sequence[object]], widths: Sequence[int], header: Sequence[str] = ()) -> None:
    from rich.table import Table

    shown = [place for place, width in enumerate(widths) if width]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), show_header=bool(header))
    for place in shown:
        name = header[place] if header else ""
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=widths[place])
    for row in rows:
        table.add_row(*(_text(row[place]) for place in shown))
    if rows or header:
        console().print(table)


def _write_plain(rows: Sequence[Sequence[object]], widths: Sequence[int], header: Sequence[str] = ()) -> None:
    """Without rich, which takes longer to import than a short command to run."""
    for row in chain([header] if header else [], rows):
        padded = (f"{cell}{' ' * (width - _width(str(cell)))}" for cell, width in zip(row, widths, strict=True))
        write_line((" " * GAP).join(padded).rstrip())


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def without(empty: Collection[int], columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """The natural widths, 0 for columns in whose cells nothing stands, where not everything has room."""
    if sum(natural) + GAP * (len(natural) - 1) <= width:
        return list(natural)
    return [0 if place in empty and not columns[place].kept else wide for place, wide in enumerate(natural)]


def fit(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """How wide each column is in a table of ``width`` characters; 0 for one that is left out.

    First columns are cut as far as they can still be read, the least important first, and then further, but none below
    its name; then they are left out in the same order. What became free goes to the most important of those that were
    cut.
    """
    widths = list(natural)
    by_rank = sorted(range(len(columns)), key=lambda place: columns[place].rank)

    def missing() -> int:
        shown = [each for each in widths if each]
        return sum(shown) + GAP * (len(shown) - 1) - width

    for shortest in (_LEGIBLE, _SHORTEST):
        for place in by_rank:
            if not columns[place].whole:
                least = max(shortest, len(columns[place].name))
                widths[place] -= max(0, min(missing(), widths[place] - least))
    for place in by_rank:
        if missing() > 0 and not columns[place].kept:
            widths[place] = 0
    for place in reversed(by_rank):
        if widths[place]:
            widths[place] += max(0, min(-missing(), natural[place] - widths[place]))
    return widths


def _plain(cell: object, *, wide: bool = False) -> str:
    if isinstance(cell, Tail) and wide:
        cell = cell.whole
    return getattr(cell, "plain", None) or clean("" if cell is None else cell)


def _text(cell: object) -> Text:
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(_plain(cell))
