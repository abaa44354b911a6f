"""The demo's summary, number by number, against a model of the flow that reads the same files."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Waitctl

ROOT = Path(__file__).parent.parent
NURTURE = ROOT / "examples" / "nurture"


def good_lines(day: int) -> list[dict[str, Any]]:
    """The events of a day that are events."""
    found = []
    for line in (NURTURE / f"day-{day}.ndjson").read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        well_formed = event.get("contact", "").strip() and isinstance(event.get("data", {}), dict)
        if well_formed and event["type"] != "email_opened":
            found.append(event)
    return found


def contacts_of(day: int, *types: str, before: str = "9") -> set[str]:
    return {event["contact"].lower() for event in good_lines(day) if event["type"] in types and event["at"] < before}


def expected_outbox() -> tuple[Counter[str], int]:
    """What goes out, by kind, and how many waits are still open at the end."""
    everybody = set((NURTURE / "contacts.txt").read_text().split())
    early = contacts_of(1, "email_open") | contacts_of(2, "email_open")
    late = contacts_of(3, "email_open", before="2026-03-04T09:00:00Z") - early
    opened = early | late
    answered = contacts_of(4, "form_submit", "sms_reply") & opened
    # Those who opened late are still waited for when the demo ends.
    silent = early - answered
    outbox = Counter(guide=len(opened), reminder=len(everybody - opened), thanks=len(answered), farewell=len(silent))
    return outbox, len(late - answered)


@pytest.mark.usefixtures("uncounted")  # hundreds of processes that do the same
@pytest.mark.long
def test_the_demo_ends_with_what_its_files_say(tmp_path: Path) -> None:
    with Waitctl(tmp_path, None).on_the_path() as environment:
        done = subprocess.run(
            [ROOT / "examples" / "nurture.sh", tmp_path / "work with space"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    outbox, still_open = expected_outbox()
    assert outbox == {"guide": 65, "reminder": 35, "thanks": 25, "farewell": 37}
    lines = (tmp_path / "work with space" / "outbox.txt").read_text().splitlines()
    assert Counter(line.split()[0] for line in lines) == outbox
    assert len(set(lines)) == len(lines)
    summary = done.stdout.partition("== what went out")[2].split()
    assert [f"{count} {kind}" for kind, count in sorted(outbox.items())] == [
        f"{count} {kind}" for count, kind in zip(summary[0:8:2], summary[1:8:2], strict=True)
    ]
    assert f"{still_open} open" in done.stdout
    assert "line 45: the line is not valid JSON" in done.stderr
