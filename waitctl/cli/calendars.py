"""`waitctl calendar`: business days, holidays and hours, without a database."""

from __future__ import annotations

from calendar import Calendar as Weeks
from calendar import month_name
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.application.calendars.browsing import CalendarBrowser, outlook_document, year_document
from waitctl.cli.listing import Listing, Rows, print_rows, takes_listing
from waitctl.cli.output import (
    DocumentOption,
    Output,
    clean,
    console,
    local,
    print_card,
    print_document,
    say,
    write_line,
)
from waitctl.cli.session import session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.calendar_browser import CalendarYear, Outlook
from waitctl.domain.hours import WEEKDAYS, format_days, format_hours
from waitctl.domain.instants import show_day

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(help="Look at calendars: business days, holidays, hours.", no_args_is_help=True, add_completion=False)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="DE, DE-BY, US-CA, NYSE, …, or one of the config file.")
]

_MONTH_WIDTH = 21
_GAP = 3


_CALENDAR_ROWS: Rows[tuple[str, str]] = Rows(
    key="calendars",
    id_key="name",
    fields=("name", "kind"),
    document=lambda each: {"name": each[0], "kind": each[1]},
    columns=(id_column("CALENDAR"), Column("KIND", 1)),
    cells=lambda each: each,
    nothing="no calendars",
)


@app.command("list")
@takes_listing
def list_(
    *,
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only names that begin so, as in DE-.")] = "",
    like: Annotated[str, typer.Option("--like", metavar="TEXT", help="Only names that hold this text.")] = "",
    listing: Listing,
) -> None:
    """List the calendars: those of the config file, countries, their parts, stock exchanges.

    Example: waitctl calendar list US-
    """
    found = CalendarBrowser(session_of(context).settings()).list_calendars(prefix, like)
    print_rows(_CALENDAR_ROWS, found.items(), listing)


@app.command("show")
def show(
    context: typer.Context,
    name: NameArgument,
    year: Annotated[int | None, typer.Option("--year", metavar="Y", help="Which year; this one when left out.")] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Show a year of a calendar, month by month, and its holidays.

    Example: waitctl calendar show DE-BY --year 2027
    """
    found = CalendarBrowser(session_of(context).settings()).get_year(name, year)
    print_document(year_document(found), output, human=lambda: _print_year(found))


@app.command("check")
def check(context: typer.Context, name: NameArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Show how far a calendar reaches, what it says of today, and which holidays come next.

    Warns when the calendar ends within a year. Example: waitctl calendar check NYSE
    """
    found = CalendarBrowser(session_of(context).settings()).get_outlook(name)
    print_document(outlook_document(found), output, human=lambda: _print_outlook(found))
    if found.years is not None and found.ends_soon:
        say(f"warning: the calendar {found.calendar.name} ends with {found.years[-1]}")


# -- for people --------------------------------------------------------------------------------------------------------


def _print_year(found: CalendarYear) -> None:
    from rich.table import Table

    terminal = console()
    across = 3 if not terminal.is_terminal else max(1, min(4, (terminal.width + _GAP) // (_MONTH_WIDTH + _GAP)))
    grid = Table.grid(padding=(0, _GAP, 1, 0), pad_edge=False)
    for _ in range(across):
        grid.add_column(no_wrap=True, width=_MONTH_WIDTH)
    for month in range(1, 13, across):
        grid.add_row(*(_month(found, each) for each in range(month, min(month + across, 13))))
    write_line(f"{clean(found.calendar.name)} {found.year}\n")
    terminal.print(grid)
    write_line("*  holiday   .  weekend\n")
    if found.holidays:
        _print_holidays(found.holidays.items())
        write_line("")
    calendar = found.calendar
    print_card(
        calendar.name,
        [
            ("business days", found.business_days),
            ("work week", format_days(calendar.work_week)),
            ("hours", format_hours(calendar.hours) if calendar.hours else "none: open all day"),
            ("zone", calendar.zone or "the wait's own"),
        ],
    )


def _month(found: CalendarYear, month: int) -> Text:
    """A month with Monday first: ``25*`` is a holiday, ``26.`` a weekend."""
    from rich.text import Text

    text = Text(f"{month_name[month]:^20}\n")
    text.append("Mo Tu We Th Fr Sa Su\n", style="dim")
    for week in Weeks().monthdayscalendar(found.year, month):
        for number in week:
            text.append_text(_day(found, month, number))
        text.append("\n")
    return text


def _day(found: CalendarYear, month: int, number: int) -> Text:
    from rich.text import Text

    if not number:
        return Text("   ")
    day = date(found.year, month, number)
    if day in found.holidays:
        return Text(f"{number:2}*", style="bold red")
    if day in found.days_off:
        return Text(f"{number:2}.", style="dim")
    return Text(f"{number:2} ")


def _print_holidays(holidays: Iterable[tuple[date, str]]) -> None:
    print_table(
        (id_column("DATE"), Column("DAY", 1, whole=True), Column("HOLIDAY", 2)),
        ((day.isoformat(), WEEKDAYS[day.weekday()], name) for day, name in holidays),
    )


def _print_outlook(found: Outlook) -> None:
    today = "not known" if found.is_business_day is None else "a business day" if found.is_business_day else "a day off"
    after = found.next_business_day
    print_card(
        found.calendar.name,
        [
            ("reaches", f"{found.years[0]} to {found.years[-1]}" if found.years else "every year"),
            ("today", f"{show_day(found.today)}: {today}" + (f" ({found.reason})" if found.reason else "")),
            ("next business day", "none that it knows" if after is None else show_day(after)),
            ("hours", format_hours(found.calendar.hours) if found.calendar.hours else None),
            ("now", _now(found)),
            ("opens", local(found.next_opening, found.zone, found.now)),
            ("zone", found.zone),
            ("estimates", "dates marked so may still shift" if found.has_estimates else None),
        ],
        style="green" if found.is_business_day else "yellow",
    )
    if found.next_holidays:
        write_line("")
        _print_holidays(found.next_holidays)


def _now(found: Outlook) -> str | None:
    """Whether it is open."""
    if found.calendar.hours is None:
        return None
    closes = local(found.closes_at, found.zone, found.now)
    return "closed" if not found.is_open else "open" + (f" until {closes}" if closes else "")
