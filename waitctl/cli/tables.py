"""Tables for people: ids stay whole at every width, and the least important columns give way to the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waitctl.cli import output
from waitctl.cli.output import clean, console, write_plainly

if TYPE_CHECKING:
    from rich.text import Text

GAP = output.GAP

_SHORTEST = 8
"""Characters that a column is cut to before another one is dropped."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The lower its ``rank``, the sooner it is cut, and then dropped.

    ``whole``: an id or a status, which says nothing when it is cut: it stays as it is, or drops out. ``kept``: never
    dropped either, since it is what a next command takes.
    """

    name: str
    rank: int
    whole: bool = False
    kept: bool = False


def id_column(name: str) -> Column:
    """The column of what the rows are about: it can be pasted back at every width from 60 characters."""
    return Column(name, 100, whole=True, kept=True)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """A table, its cells cleaned and never read as markup. Piped, nothing is cut or left out."""
    rows = list(rows)
    if not sys.stdout.isatty() and write_plainly([[column.name for column in columns], *rows]):
        return
    from rich.cells import cell_len
    from rich.table import Table

    cells = [[_text(cell) for cell in row] for row in rows]
    screen = console()
    natural = [
        max(cell_len(text.plain) for text in (_text(column.name), *(row[place] for row in cells)))
        for place, column in enumerate(columns)
    ]
    widths = fit(columns, natural, screen.width) if sys.stdout.isatty() else natural
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    shown = [place for place, width in enumerate(widths) if width]
    for place in shown:
        table.add_column(columns[place].name, no_wrap=True, overflow="ellipsis", width=widths[place])
    for row in cells:
        table.add_row(*(row[place] for place in shown))
    screen.print(table)


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


def _text(cell: object) -> Text:
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(clean("" if cell is None else cell))
