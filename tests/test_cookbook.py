"""The recipes of the cookbook, each played as its comments say, in pretended time."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl

EXAMPLES = Path(__file__).parent.parent / "examples"


class Stage:
    """An empty home with the recipes as handlers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.txt"
        self.outbox.touch()
        config = folder / "config.toml"
        for name in ("dunning", "on-call", "booking"):
            with config.open("a") as file:
                file.write(f'[handlers.{name}]\nexec = ["{EXAMPLES / name}.sh"]\n')

    def play(self, *lines: str) -> list[str]:
        """Run lines of shell, ``@INSTANT`` among them for the time that it is from there on; the outbox afterwards."""
        said = [f"export WAITCTL_AS_OF={line[1:]}; waitctl tick -q" if line.startswith("@") else line for line in lines]
        with Waitctl(self.folder, f"sqlite:///{self.folder}/waits.db").on_the_path() as environment:
            path = f"{EXAMPLES}{os.pathsep}{environment['PATH']}"
            mine = {"PATH": path, "OUTBOX": str(self.outbox), "WAITCTL_CONFIG": str(self.folder / "config.toml")}
            done = subprocess.run(
                ["sh", "-eu"],
                input="\n".join(said),
                env={**environment, **mine},
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        return self.outbox.read_text().splitlines()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_dunning(stage: Stage) -> None:
    sent = stage.play(
        "export WAITCTL_AS_OF=2026-03-02T09:00:00Z",
        "waitctl event types add payment",
        "dunning.sh start A-17 ada@example.org",
        "dunning.sh start A-18 ada@example.org",
        "dunning.sh start A-19 eve@example.org",
        """waitctl event record payment --contact ada@example.org --id p1 --data '{"invoice": "A-18"}'""",
        "@2026-03-16T08:59:00Z",
        "@2026-03-16T09:00:00Z",
        """waitctl event record payment --contact eve@example.org --id p2 --data '{"invoice": "A-19"}'""",
        "@2026-03-23T09:00:00Z",
        "@2026-03-30T09:00:00Z",
        "@2026-04-30T09:00:00Z",
    )

    assert sorted(sent) == [
        "collector ada@example.org A-17",
        "receipt ada@example.org A-18",
        "receipt eve@example.org A-19",
        "reminder ada@example.org A-17",
        "reminder eve@example.org A-19",
        "warning ada@example.org A-17",
    ]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ("waitctl event record approval --contact release-v2", 0, "approved"),
        ("waitctl cancel --execution release-v2", 1, "refused"),
    ],
)
def test_approval(stage: Stage, answer: str, status: int, words: str) -> None:
    asked = stage.play(
        "waitctl event types add approval",
        "waitctl db upgrade",
        "approval.sh v2 > said.txt & asking=$!",
        # It has asked once the wait is there; then it blocks.
        'until [ -s "$OUTBOX" ]; do kill -0 $asking; done',
        f"{answer} > {shlex.quote(os.devnull)}",
        "status=0; wait $asking || status=$?",
        f"[ $status = {status} ]",
    )

    assert asked == ["may release-v2 go out?"]
    assert words in (stage.folder / "said.txt").read_text()


def test_on_call(stage: Stage) -> None:
    paged = stage.play(
        "export WAITCTL_AS_OF=2026-03-02T03:00:00Z",
        "waitctl event types add acknowledged",
        "on-call.sh start disk-full",
        "on-call.sh start fire",
        "@2026-03-02T03:05:00Z",
        "waitctl event record acknowledged --contact disk-full",
        "@2026-03-02T03:10:00Z",
        "@2026-03-02T03:15:00Z",
    )

    assert [line for line in paged if "disk-full" in line] == [
        "page ada: disk-full",
        "page bob: disk-full",
        "disk-full is taken",
    ]
    assert [line for line in paged if "fire" in line] == [
        "page ada: fire",
        "page bob: fire",
        "page eve: fire",
        "nobody takes fire: tell everybody",
    ]


def test_booking(stage: Stage) -> None:
    reminded = stage.play(
        "export WAITCTL_AS_OF=2026-03-02T09:00:00Z",
        "booking.sh book moved ada@example.org '2026-03-12 15:00' America/New_York",
        "booking.sh book moved ada@example.org '2026-03-13 15:00' America/New_York",
        "booking.sh book dropped bob@example.org '2026-03-12 15:00' America/New_York",
        "booking.sh cancel dropped",
        "booking.sh book soon eve@example.org '2026-03-02 18:00' UTC",
        "@2026-03-02T17:00:00Z",
        "@2026-03-12T18:59:00Z",
        'cp "$OUTBOX" early.txt',
        "@2026-03-12T19:00:00Z",
        "@2026-03-13T18:00:00Z",
    )

    assert (stage.folder / "early.txt").read_text() == "hour eve@example.org soon\n"
    assert reminded[1:] == ["day ada@example.org moved", "hour ada@example.org moved"]


TIMES = """
[calendars.office]
base = "DE-BY"
hours = "mon-fri 09:00-12:00,13:00-17:00"
[calendars.company]
base = "DE-BY+catholic"
extra = { "2026-12-28" = "between the years" }
worked = ["2026-12-19"]
half_days = { "2026-12-24" = "09:00-12:00" }
hours = "mon-fri 09:00-17:00"
"""


def sleeping(stage: Stage, *lines: str) -> list[str]:
    """What lines of shell leave behind: step and until, in the order in which they wake."""
    with (stage.folder / "config.toml").open("a") as file:
        file.write(TIMES)
    stage.play(*lines, "waitctl list --sleeping -o ndjson > sleeping.ndjson")
    found = [json.loads(line) for line in (stage.folder / "sleeping.ndjson").read_text().splitlines()]
    return [f"{each['step_id']} {each['until']}" for each in found if each["until"]]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ("@2026-08-20T10:00:00Z", f"{EXAMPLES}/times/months.sh C-7 2026-09-10"),
            ["invoice 2026-09-07T07:00:00Z", "end 2026-09-29T22:00:00Z"],
        ),
        (("@2026-04-02T13:00:00Z", f"{EXAMPLES}/times/business-hours.sh T-31"), ["answer 2026-04-07T09:00:00Z"]),
        (
            (
                "@2026-06-01T10:00:00Z",
                f"{EXAMPLES}/times/contact-zone.sh ada America/New_York",
                "waitctl contact set ada --tz Asia/Tokyo",
            ),
            ["wait 2026-06-01T12:00:00Z"],
        ),
        (
            (
                "@2026-06-01T10:00:00Z",
                f"{EXAMPLES}/times/contact-zone.sh ada America/New_York",
                "waitctl contact set ada --tz Asia/Tokyo",
                "waitctl replan --all --apply",
            ),
            ["wait 2026-06-01T23:00:00Z"],
        ),
        (
            (
                "@2026-06-05T06:00:00Z",
                f"{EXAMPLES}/times/weekly.sh ada 3",
                "@2026-06-05T07:00:00Z",
                "@2026-06-08T07:00:00Z",
            ),
            ["wait 2026-06-09T07:00:00Z"],
        ),
        (
            (
                "@2026-06-05T06:00:00Z",
                f"{EXAMPLES}/times/weekly.sh ada 3",
                "waitctl event record sms_reply --contact ada",
            ),
            [],
        ),
        (("@2026-12-18T10:00:00Z", f"{EXAMPLES}/times/holidays.sh O-12"), ["parcel 2026-12-22T10:00:00Z"]),
        (("@2026-12-23T10:00:00Z", f"{EXAMPLES}/times/holidays.sh O-12"), ["parcel 2026-12-30T10:00:00Z"]),
    ],
    ids=["months", "business hours", "a zone", "a zone that changed", "again", "stopped", "worked", "closed"],
)
def test_times(stage: Stage, lines: tuple[str, ...], expected: list[str]) -> None:
    first, *rest = lines
    assert sleeping(stage, f"export WAITCTL_AS_OF={first[1:]}", *rest) == expected


def test_a_ramp(stage: Stage) -> None:
    (stage.folder / "contacts.txt").write_text("".join(f"c{number}\n" for number in range(40)))
    instants = [
        line.split()[1]
        for line in sleeping(
            stage, "export WAITCTL_AS_OF=2026-06-01T06:00:00Z", f"{EXAMPLES}/times/ramp.sh < contacts.txt"
        )
    ]
    assert len(instants) == 40
    assert len(set(instants)) > 30
    assert all("2026-06-01T09:00:00Z" <= at < "2026-06-01T09:30:00Z" for at in instants)


def test_playing_one_oneself(tmp_path: Path) -> None:
    """The first block of the page, as it stands, in an empty home."""
    page = (EXAMPLES.parent / "docs" / "cookbook.md").read_text()
    block = page.partition("```sh\n")[2].partition("```")[0]
    with Waitctl(tmp_path, None).on_the_path() as environment:
        done = subprocess.run(
            ["sh", "-eu"],
            input=block,
            env={**environment, "examples": str(EXAMPLES)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "reminder ada@example.org A-17"), done.stderr


def test_testing_a_flow(stage: Stage) -> None:
    """The block of the page, as it stands; with a payment that comes to nothing it fails."""
    page = (EXAMPLES.parent / "docs" / "cookbook.md").read_text().partition("## Testing a flow")[2]
    block = page.partition("```sh\n")[2].partition("```")[0].rstrip("\n")
    sent = stage.play(
        *block.splitlines(),
        "sed -i s/A-17/A-18/ paid.ndjson",
        f"status=0; {block.splitlines()[-1]} > diff.txt || status=$?",
        "[ $status = 1 ]",
    )
    assert sent[:3] == ["reminder ada@example.org A-17", "warning ada@example.org A-17", "receipt ada@example.org A-17"]
    assert '"resolution":"event"' in (stage.folder / "diff.txt").read_text()
