"""The table of docs/time-forms.md is what the program does: every cell of it is worked out anew."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import Path

import pytest
from whenever import Instant, PlainDateTime

from waitctl.domain.durations import parse_duration
from waitctl.domain.hours import parse_hours
from waitctl.domain.intents import (
    Intent,
    Rules,
    parse_fixed_time,
    parse_time_of_day,
    parse_until_date,
    parse_until_time,
)
from waitctl.domain.months import parse_day_of_month
from waitctl.domain.occurrences import next_occurrence
from waitctl.domain.recurrence import RecurrenceRule
from waitctl.domain.schedule import resolve
from waitctl.infrastructure.calendars import Calendars

PAGE = (Path(__file__).parents[2] / "docs" / "time-forms.md").read_text(encoding="utf-8")
ZONE, CALENDAR = "Europe/Berlin", "DE-BY"
COLUMNS = ("an ordinary day", "a gap", "a fold", "a holiday")


def cells() -> list[tuple[str, str, str, str]]:
    """(form, column, start, end) of every cell that has one."""
    found = []
    for line in PAGE.splitlines():
        row = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(row) == 1 + len(COLUMNS):
            for column, cell in zip(COLUMNS, row[1:], strict=True):
                if matched := re.fullmatch(r"([-0-9: ]+) → ([-0-9: ]+)", cell):
                    found.append((row[0].strip("`"), column, matched[1], matched[2]))
    return found


def local(text: str) -> PlainDateTime:
    return PlainDateTime.parse_iso(text.replace(" ", "T"))


def evaluate(form: str, column: str, start: str) -> str:
    """What a form comes to, from a local time in Berlin or for that date, as a local time."""
    words = shlex.split(form)
    options = dict(zip(words[2::2], words[3::2], strict=True)) if words[0] != "recurring" else {}
    calendar = Calendars().get(CALENDAR) if column == "a holiday" else None
    window = options.get("--window")
    rules = Rules(calendar=CALENDAR if calendar else None, window=parse_hours(window) if window else None)
    base = local(start).assume_tz(ZONE, disambiguation="compatible").to_instant().to_stdlib()
    if words[0] == "recurring":
        options = dict(zip(words[1::2], words[2::2], strict=True))
        every, at, on = (options.get(name) for name in ("--every", "--at", "--on"))
        rule = RecurrenceRule(
            every=parse_duration(every, business=True) if every else None,
            cron=options.get("--cron"),
            rrule=options.get("--rrule"),
            at=parse_time_of_day(at) if at else None,
            on=parse_day_of_month(on) if on else None,
        ).checked()
        found = next_occurrence(rule, ZONE, rules, calendar, anchor=base, base=base, after=base)
        assert found is not None
        return shown(found.at)
    intent: Intent
    match words[0]:
        case "fixed-time":
            intent = parse_fixed_time(words[1], options.get("--at"), options.get("--on"), zero=True)
        case "until-time":
            intent = parse_until_time(words[1], options.get("--days"))
        case _:
            intent = parse_until_date(start, options.get("--offset"), on=options.get("--on"), past="fire")
    return shown(resolve(intent, base=base, zone=ZONE, rules=rules, calendar=calendar).at)


def shown(at: datetime) -> str:
    return Instant(at).to_tz(ZONE).to_plain().format_iso()[:16].replace("T", " ")


@pytest.mark.parametrize(("form", "column", "start", "end"), cells())
def test_the_page_says_what_it_comes_to(form: str, column: str, start: str, end: str) -> None:
    assert evaluate(form, column, start) == end


def test_the_page_has_every_form() -> None:
    forms = {form.split()[0] for form, *_ in cells()}
    assert forms == {"fixed-time", "until-date", "until-time", "recurring"}
    assert len(cells()) > 50
