"""A server that refuses, silently or in words: every command says whose fault it is, and ends in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup

from tests.cli.processes import Finished, Waitctl
from tests.cli.test_cli_help import ALL
from tests.faults import FAULTS, PlainRole
from tests.scene import Scene
from waitctl.cli import app
from waitctl.domain.handlers import ExecConfig, HandlerConfig

WITHOUT_DATABASE = {"calendar list", "calendar show", "calendar check", "db backup", "db sql", "event providers"}
WITHOUT_DATABASE |= {"config check", "config show", "help", "init"}
"""What asks no server: `db backup` is for files alone."""
OF_THEIR_OWN = {"check", "doctor", "import", "serve", "top"}
"""What says by its own means that the server refuses, or needs an empty database: their tests try it."""
READS = {
    "analytics",
    "bulk list",
    "bulk show",
    "delivery handlers",
    "delivery list",
    "delivery show",
    "contact list",
    "contact show",
    "event list",
    "event quarantine list",
    "event quarantine show",
    "event show",
    "event types list",
    "event why",
    "explain",
    "export",
    "history",
    "list",
    "metrics",
    "pending",
    "recurring list",
    "recurring show",
    "simulate",
    "status",
    "template list",
    "template show",
    "ticks",
    "upcoming",
    "why",
}
SPARED = {"53100": {"recurring unpause"}, "57P01": {"ticks"}}
"""What the fault as it is made here does not meet: one that writes nothing, and a table that is not guarded."""
OF_THE_SCHEMA = {"db current", "db check", "db upgrade"}


class Case:
    """A database with one of each, and the command lines that reach it."""

    def __init__(self, role: PlainRole, url: str, folder: Path) -> None:
        self.role = role
        self.run = Waitctl(folder, role.url)
        scene = Scene(url).on_the_real_clock()
        scene.handlers["nudge"] = HandlerConfig("nudge", ExecConfig(("false",)))
        wait = scene.create(execution="open").wait.id
        ended = scene.create(execution="ended", handler="nudge").wait.id
        scene.waits.resume_wait(ended)
        scene.listen(execution="listens")
        event = str(scene.record(contact="bob").event_id)
        delivery = scene.deliveries.list_deliveries()[0].id
        scene.sql("UPDATE workflow_wait_deliveries SET status = 'dead'")
        owner = Waitctl(folder, url)
        owner("event", "ingest", "--format", "mailgun", "--no-verify", stdin="no webhook")
        payload = owner("event", "quarantine", "list", "-o", "id").ok().lines[0]
        for contact in ("ada", "zoe"):
            owner("contact", "set", contact, "--tz", "UTC").ok()
        again = owner("create", "recurring", "--every", "1w", "-e", "again", "-o", "json").ok().json["id"]
        owner("template", "save", "remind", "--", "create", "fixed-time", "1h").ok()
        bulk = ("bulk", "reschedule", "-e", "listens", "--by", "1h", "-o", "id")
        plan, done = (owner(*bulk).ok().lines[0] for _ in range(2))
        owner("bulk", "apply", done, "-q").ok()
        (folder / "contacts.ndjson").write_text('{"contact": "kim", "timezone": "UTC"}\n')
        scene.database.close()
        self.lines: dict[str, list[str]] = {
            "create fixed-time": ["1h"],
            "create until-date": ["2096-01-01"],
            "create until-time": ["9"],
            "create for-event": ["sms_reply", "--contact", "ada", "--timeout", "1h"],
            "status": [wait],
            "list": [],
            "pending": [],
            "upcoming": [],
            "history": [wait],
            "cancel": [wait],
            "resume": [wait],
            "await": [wait, "--timeout", "0"],
            "explain": [wait],
            "reschedule": [wait, "--at", "2096-01-01"],
            "replan": ["--all", "--apply"],
            "bulk cancel": ["--all"],
            "bulk resume": ["--all"],
            "bulk reschedule": ["--all", "--by", "1h"],
            "bulk retry": ["--all"],
            "bulk apply": [plan],
            "bulk undo": [done],
            "bulk list": [],
            "bulk show": [plan],
            "why": [wait],
            "event why": [event],
            "event record": ["sms_reply", "--contact", "ada"],
            "event ingest": [],
            "event list": [],
            "event show": [event],
            "event types list": [],
            "event types add": ["new"],
            "event types remove": ["old"],
            "event quarantine list": [],
            "event quarantine show": [payload],
            "event quarantine replay": [payload, "--no-verify"],
            "event quarantine drop": [payload],
            "create recurring": ["--every", "1w"],
            "recurring list": [],
            "recurring show": [again],
            "recurring pause": [again],
            "recurring unpause": [again],
            "recurring stop": [again],
            "update": [wait, "--context", "{}"],
            "contact set": ["eve", "--tz", "UTC"],
            "contact show": ["ada"],
            "contact list": [],
            "contact import": ["contacts.ndjson"],
            "contact remove": ["ada"],
            "contact forget": ["zoe"],
            "template save": ["other", "--", "create", "fixed-time", "1h"],
            "template list": [],
            "template show": ["remind"],
            "template use": ["remind"],
            "template remove": ["remind"],
            "ticks": [],
            "analytics": ["--by", "workflow"],
            "metrics": [],
            "prune": ["--older-than", "900d"],
            "export": ["-"],
            "simulate": ["--until", "1d"],
            "tick": [],
            "pause": ["--all"],
            "unpause": ["--all"],
            "delivery list": [],
            "delivery handlers": [],
            "delivery show": [delivery],
            "delivery retry": ["--all-dead"],
            "delivery drop": [delivery],
            "db upgrade": [],
            "db current": [],
            "db check": [],
        }

    def each(self) -> Iterator[tuple[str, Finished]]:
        for name, arguments in self.lines.items():
            given = '{"type": "sms_reply", "contact": "ada"}' if name == "event ingest" else None
            yield name, self.run(*name.split(), *arguments, stdin=given)


@pytest.fixture
def role(postgres_url: str) -> Iterator[PlainRole]:
    role = PlainRole(postgres_url)
    yield role
    role.close()


@pytest.fixture
def case(role: PlainRole, postgres_url: str, tmp_path: Path) -> Case:
    return Case(role, postgres_url, tmp_path)


def test_every_command_is_tried(case: Case) -> None:
    leaves = {" ".join(path) for path, command in ALL if not isinstance(command, TyperGroup)}
    assert leaves == set(case.lines) | WITHOUT_DATABASE | OF_THEIR_OWN


@pytest.mark.long
@pytest.mark.parametrize("state", FAULTS)
def test_what_a_server_refuses_is_no_bug(case: Case, state: str) -> None:
    case.role.prepare(state, "50ms")
    with case.role.fault(state):
        finished = dict(case.each())
    assert not [each for each in finished.items() if "bug" in each[1].err or each[1].err.count("error: ") > 1]
    refused = {name for name, each in finished.items() if each.code == 5}
    assert {name: each for name, each in finished.items() if name not in refused and each.code not in {0, 6}} == {}
    expected = set(finished)
    if state in {"25006", "53100"}:
        expected -= READS | OF_THE_SCHEMA | {"await", "replan"}
    elif state != "53300":
        expected -= OF_THE_SCHEMA
    expected -= SPARED.get(state, set())
    assert refused == expected
    assert {name for name in refused if FAULTS[state] not in finished[name].err} == set()


LINE = '{{"type": "sms_reply", "contact": "ada", "id": "{}", "data": {{"text": "{}"}}}}\n'


def test_a_disk_that_fills_up_does_not_keep_the_totals_back(case: Case) -> None:
    """They say what is recorded: so many need not be sent again."""
    case.role.do(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE 'No space left on device' USING ERRCODE = '53100'; END $$"
    )
    case.role.do(
        "CREATE TRIGGER disk BEFORE INSERT ON workflow_events FOR EACH ROW"
        " WHEN (new.external_id = '2500') EXECUTE FUNCTION full()"
    )
    lines = "".join(LINE.format(number, "") for number in range(3500))
    finished = case.run("event", "ingest", "-o", "json", stdin=lines)
    assert (finished.code, finished.json["recorded"], finished.json["received"]) == (5, 2000, 2000)
    assert "No space left on device" in finished.err
    finished = case.run("event", "ingest", stdin=lines)
    assert finished.out.startswith("2,000 received, 0 recorded, 2,000 duplicates")


def test_the_same_of_a_file(run: Waitctl) -> None:
    lines = "".join(LINE.format(number, "x" * 1000) for number in range(5000))
    unmeasured = {"COVERAGE_PROCESS_CONFIG": None, "COVERAGE_PROCESS_START": None}
    finished = run("event", "ingest", "-o", "json", stdin=lines, shell='ulimit -f 8192; exec "$@"', env=unmeasured)
    assert finished.code == 5
    recorded = finished.json["recorded"]
    assert 0 < recorded < 5000
    assert len(run("event", "list", "--limit", "5000", "-o", "id").ok().lines) == recorded


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "no more memory"),
        (ImportError("lib.so: failed to map segment from shared object"), "no more memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_what_a_process_is_short_of_is_no_bug(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it runs out of what differs each time, so that this asks for the words alone."""
    assert app._handle(error, []) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "bug" not in said
