"""Many waits at once: what becomes of each is what would have become of it alone, on both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.interleaving import Background, at_once, until_blocked
from tests.invariants import invariants
from tests.scene import NOON, Scene
from waitctl import (
    ContactService,
    CreateTotals,
    Database,
    EventQuery,
    EventService,
    Rejection,
    Rules,
    WaitRequest,
    WaitSchedulingService,
    WaitSpec,
    WaitStepError,
    WaitStepExecution,
    make_event,
    parse_hours,
)
from waitctl.application.contacts import ContactInput
from waitctl.application.waits import batches
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidWaitConfigurationError, UnsafeConnectionError, WaitAlreadyOpenError
from waitctl.domain.instants import format_instant
from waitctl.domain.intents import Past
from waitctl.domain.spreading import share_of
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.infrastructure.database import Connection

E = WaitSpec("e", contact_id="ada")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few waits a transaction."""
    monkeypatch.setattr(batches, "BATCH", 7)


# -- the same as one by one --------------------------------------------------------------------------------------------


def _requests(chance: random.Random) -> list[WaitRequest]:
    """Waits of few steps, keys and contacts, so that they meet: the same, others, replacements, early events."""
    made = list(_different(chance))
    return [chance.choice(made) if chance.random() < 0.3 else request for request in made]


def _different(chance: random.Random) -> Iterator[WaitRequest]:
    window = Rules(window=parse_hours("mon-fri 09:00-17:00"))
    queries = [
        EventQuery(("email_open",), timeout=parse_duration("2h")),
        EventQuery(("email_open", "sms_reply"), exclusive=True),
        EventQuery(("email_open",), match={"n": "3"}),
        EventQuery(("email_open",), count=2),
        EventQuery(("email_open",), where="event.data.n > 2"),
        EventQuery(("email_open",), rules=window, lookback=parse_duration("1h")),
        EventQuery(("strange",)),
    ]
    for _ in range(50):
        spec = WaitSpec(
            f"e{chance.randrange(16)}",
            chance.choice(("wait", "other")),
            workflow_id=chance.choice((None, "w")),
            contact_id=chance.choice(("ada", " Bob@Example.org", "carol")),
            context=chance.choice((None, {"n": 1}, {"n": 1.5, "text": "ä\t\n"})),
            handler=chance.choice((None, "nudge")),
            idempotency_key=chance.choice((None, None, None, "k1", "k2", "pruned")),
            timezone=chance.choice(("UTC", "Europe/Berlin")),
        )
        how: dict[str, Any] = {"replace_open": chance.random() < 0.3}
        match chance.randrange(6):
            case 0:
                yield WaitRequest.fixed_time(chance.choice(("1h", "3d")), spec, **how)
            case 1:
                yield WaitRequest.until_time("09:00", spec, rules=window, **how)
            case 2:
                past = chance.choice((Past.REJECT, Past.FIRE))
                yield WaitRequest.until_date("2026-02-01", spec, past=past, **how)
            case _:
                yield WaitRequest.for_event(chance.choice(queries), spec, **how)


def _prepare(scene: Scene) -> None:
    """Events that came a moment before, some of them at the inbox table, an open wait, and a key of a pruned one."""
    scene.create("3d", execution="e1", handler="nudge")
    scene.listen(execution="e2", contact="carol")
    for number in range(4):
        scene.record(contact=("ada", "bob@example.org")[number % 2], data={"n": number}, external_id=f"early-{number}")
    fingerprint = replace(_alone(scene, WaitRequest.fixed_time("1h", WaitSpec("e3"))), context=None).fingerprint
    scene.sql(
        "INSERT INTO waitctl_tombstones (kind, scope, key, wait_id, fingerprint, resolution, resolved_at, created_at)"
        " VALUES ('wait_key', '', 'pruned', '01890000-0000-7000-8000-000000000000', :fingerprint, 'due', :at, :at)",
        fingerprint=fingerprint,
        at="2026-01-01 00:00:00.000000" if scene.database.is_sqlite else NOON,
    )


def _alone(scene: Scene, request: WaitRequest) -> WaitStepExecution:
    return scene.waits.create_wait(request, dry_run=True).wait


def _one_by_one(scene: Scene, requests: Sequence[WaitRequest]) -> tuple[CreateTotals, list[tuple[int, str]]]:
    totals, refused = {"created": 0, "existing": 0, "rejected": 0}, []
    for place, request in enumerate(requests, 1):
        try:
            totals["created" if scene.waits.create_wait(request).created else "existing"] += 1
        except WaitStepError as error:
            totals["rejected"] += 1
            refused.append((place, error.code))
    return CreateTotals(len(requests), **totals), refused


def _state(scene: Scene) -> list[dict[str, Any]]:
    """Everything about every wait but what is random: ids by the places of their waits and events."""
    with scene.database.read() as connection:
        invariants(connection)
    events = {each.id: each.external_id for each in scene.events.list_events(limit=100)}
    found, _ = scene.waits.list_waits(limit=1000)
    states = []
    for wait in (status.wait for status in found):
        listeners = [
            replace(each, id="", matched_event_id=each.matched_event_id and events[each.matched_event_id])
            for each in sorted(wait.listeners, key=lambda listener: listener.event_type)
        ]
        trail = [(each.from_status, each.to_status, each.actor) for each in scene.waits.get_history(wait.id)]
        sent = [(each.handler, each.outcome, each.status) for each in wait.deliveries]
        event = wait.resolution_event_id and events[wait.resolution_event_id]
        bare = replace(wait, id="", resolution_event_id=event, listeners=(), deliveries=())
        states.append({"wait": bare, "listeners": listeners, "trail": trail, "sent": sent})
    return sorted(states, key=str)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_batches")
def test_a_batch_does_what_as_many_single_creates_do(scene: Scene, tmp_path: Path, seed: int) -> None:
    requests = _requests(random.Random(seed))
    single, many = Scene(f"sqlite:///{tmp_path / 'other.db'}"), scene
    single.database.upgrade()
    for each in (single, many):
        _prepare(each)
        if seed % 3 == 0:
            each.insert_event("sms_reply", " ada", external_id="inbox")
        each.at(0.5)
    expected = _one_by_one(single, requests)
    refused: list[Rejection] = []

    totals = many.waits.create_waits(requests, on_rejection=refused.append)

    assert (totals, [(each.place, each.error.code) for each in refused]) == expected
    assert min(totals.created, totals.existing, totals.rejected) > 0, "the draw is too lucky to show anything"
    assert _state(many) == _state(single)
    assert _one_by_one(single, requests) == (
        many.waits.create_waits(requests, on_rejection=refused.append),
        [(each.place, each.error.code) for each in refused[len(expected[1]) :]],
    ), "nor does a second run"
    assert _state(many) == _state(single)
    single.database.close()


def test_what_goes_in_together_is_what_would_have_gone_in_alone(scene: Scene) -> None:
    late = Rules(window=parse_hours("mon-fri 09:00-17:00"), max_late=parse_duration("2h"))
    spec = WaitSpec("e", "s", "w", " Ada@Example.org", {"a": [1, {"b": "ä\u2028"}]}, "nudge", "key", "Europe/Berlin")
    query = EventQuery(("email_open", "sms_reply"), match_json={"n": [1]}, timeout=parse_duration("1d"), human=True)
    requests = [
        WaitRequest.fixed_time("3d", spec, rules=late, base=NOON - 4 * timedelta(days=1)),
        WaitRequest.for_event(query, replace(spec, step_id="t", idempotency_key=None)),
    ]
    scene.waits.create_waits(requests)
    found = {status.wait.step_id: status.wait for status in scene.waits.list_waits()[0]}
    for request in requests:
        made = found[request.spec.step_id]
        alone = _alone(scene, request)
        assert [replace(each, id="") for each in made.listeners] == [replace(each, id="") for each in alone.listeners]
        assert replace(made, listeners=()) == replace(alone, id=made.id, listeners=())
        assert [each.reason for each in scene.waits.get_history(made.id)] == ["as of 2026-03-01T12:00:00Z: created"]


@pytest.mark.parametrize("text", ["\\N", "\\.", "a\\tb", "back\\", "\\\\x", "é 😀", "{}"])
@pytest.mark.parametrize("plans", [1, 2])
def test_texts_that_mean_something_to_copy_arrive_as_they_are(scene: Scene, text: str, plans: int) -> None:
    """Of each wait's own, and of what many share: a condition may hold line feeds."""
    condition = f'event.data.n ==\t"{text}"\n|| true'.replace("\\", "\\\\")
    queries = [EventQuery(("email_open",), match={text: text}, where=condition), EventQuery(("sms_reply",))]
    context = {"text": text, "lines": "a\tb\nc\rd"}
    wanted = [
        WaitRequest.for_event(query, WaitSpec(f"{text} {number}", text, text, f"{text}{number}", context, text))
        for number, query in enumerate(queries[:plans])
    ]
    assert scene.waits.create_waits(wanted) == CreateTotals(plans, plans, 0, 0)
    waits = {wait.wait.contact_id: wait.wait for wait in scene.waits.list_waits()[0]}
    for number, request in enumerate(wanted):
        wait, spec = waits[f"{text}{number}"], request.spec
        assert (wait.step_id, wait.workflow_id, wait.context, wait.handler) == (text, text, context, text)
        assert wait.workflow_execution_id == spec.workflow_execution_id
    [first] = scene.waits.get_wait_status(waits[f"{text}0"].id).wait.listeners
    assert (first.match, first.where) == ({text: text}, condition)


def test_what_depends_on_the_single_wait_is_its_own(scene: Scene) -> None:
    """A spread goes by each wait's id, a zone by its contact or context, though all were asked for by one object."""
    spread, hour = Rules(spread=parse_duration("30m")), timedelta(hours=1)
    query = EventQuery(("email_open",), timeout=parse_duration("1h"), rules=spread)
    until = EventQuery(("email_open",), until="2026-03-01T13:00:00Z", rules=spread)
    ContactService(scene.database).set_contact(ContactInput("ada", "Asia/Tokyo"))
    placed = [
        (WaitSpec("z1", contact_id="ada", zone_of_contact=True), "2026-03-02T00:00:00Z"),
        (WaitSpec("z2", contact_id="bob", zone_of_contact=True), "2026-03-02T09:00:00Z"),
        (WaitSpec("z3", zone_field="tz", context={"tz": "America/New_York"}), "2026-03-01T14:00:00Z"),
        (WaitSpec("z4", zone_field="tz", context={}), "2026-03-02T09:00:00Z"),
        (WaitSpec("z5"), "2026-03-02T09:00:00Z"),
    ]
    requests = [
        *(WaitRequest.fixed_time("1h", WaitSpec(f"f{n}"), rules=spread) for n in range(10)),
        *(WaitRequest.for_event(query, WaitSpec(f"t{n}", contact_id="ada")) for n in range(10)),
        *(WaitRequest.for_event(until, WaitSpec(f"u{n}", contact_id="ada")) for n in range(10)),
        *(WaitRequest.until_time("09:00", spec) for spec, _ in placed),
    ]
    assert scene.waits.create_waits(requests) == CreateTotals(35, 35)
    found = {status.wait.workflow_execution_id: status.wait for status in scene.waits.list_waits(limit=100)[0]}
    for name, instant in ((spec.workflow_execution_id, instant) for spec, instant in placed):
        assert format_instant(found.pop(name).scheduled_at or NOON) == instant, name
    shares = set()
    for wait in found.values():
        share = share_of(wait.id, hour / 2)
        assert (wait.scheduled_at or wait.timeout_at) == NOON + hour + share
        assert all(listener.timeout_at == wait.timeout_at for listener in wait.listeners)
        shares.add(share)
    assert len(shares) > 20
    assert scene.waits.create_waits(requests) == CreateTotals(35, 0, 35)


def test_each_keeps_who_has_caused_it_and_its_template(scene: Scene) -> None:
    traces = [f"00-{str(n) * 32}-{str(n) * 16}-01" for n in (1, 2)]
    bound = {name: {"name": name, "version": 1} for name in ("t1", "t2")}
    specs = [
        *(WaitSpec(trace, traceparent=trace) for trace in traces),
        *(WaitSpec(name, template=template) for name, template in bound.items()),
    ]
    assert scene.waits.create_waits(WaitRequest.fixed_time("1h", spec) for spec in specs) == CreateTotals(4, 4)
    kept = {
        wait.workflow_execution_id: wait.wait_config.get("traceparent") or wait.wait_config["template"]
        for wait in (status.wait for status in scene.waits.list_waits(limit=10)[0])
    }
    assert kept == {trace: trace for trace in traces} | bound


# -- what becomes of each ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_a_run_that_was_broken_off_goes_on_where_it_was(scene: Scene) -> None:
    requests = [WaitRequest.fixed_time("1h", WaitSpec(f"e{number}")) for number in range(30)]

    class BrokenOffError(Exception):
        pass

    def some() -> Iterator[WaitRequest]:
        yield from requests[:20]
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        scene.waits.create_waits(some())
    there = len(scene.waits.list_waits()[0])
    assert 0 < there < 20
    heard: list[CreateTotals] = []
    totals = scene.waits.create_waits(requests, on_batch=heard.append)
    assert totals == CreateTotals(30, 30 - there, there)
    assert [each.received for each in heard] == [7, 14, 21, 28, 30]
    assert scene.waits.create_waits(requests) == CreateTotals(30, 0, 30)


def test_errors_among_the_requests_keep_their_places(scene: Scene) -> None:
    refused: list[Rejection] = []
    wrong = InvalidWaitConfigurationError("nonsense")
    requests: list[WaitRequest | WaitStepError] = [
        WaitRequest.fixed_time("1h", E),
        wrong,
        WaitRequest.fixed_time("2h", E),
    ]
    assert scene.waits.create_waits(requests, on_rejection=refused.append) == CreateTotals(3, 1, 0, 2)
    assert [(each.place, type(each.error)) for each in refused] == [
        (2, InvalidWaitConfigurationError),
        (3, WaitAlreadyOpenError),
    ]


def test_one_whose_texts_need_a_closer_look_changes_no_other(scene: Scene) -> None:
    specs = [WaitSpec(f"e{number}", contact_id=f"Person{number}@Example.org") for number in range(4)]
    specs[1] = replace(specs[1], workflow_execution_id="a\tb")
    specs[2] = replace(specs[2], contact_id=" Z\u00f6e@example.org ")
    refused: list[Rejection] = []
    requests = [WaitRequest.fixed_time("1h", spec) for spec in specs]
    totals = scene.waits.create_waits(requests, on_rejection=refused.append)
    assert totals == CreateTotals(received=4, created=3, rejected=1)
    assert [each.place for each in refused] == [2] and "control characters" in refused[0].error.message
    waits = [status.wait for status in scene.waits.list_waits()[0]]
    made = {wait.workflow_execution_id: wait.contact_id for wait in waits}
    assert made == {"e0": "person0@example.org", "e2": "z\u00f6e@example.org", "e3": "person3@example.org"}


def test_a_dry_run_writes_nothing(scene: Scene) -> None:
    requests = [WaitRequest.fixed_time("1h", WaitSpec(f"e{number}")) for number in range(3)]
    scene.waits.create_waits(requests[:1])
    assert scene.waits.create_waits(requests, dry_run=True) == CreateTotals(3, 2, 1)
    assert len(scene.waits.list_waits()[0]) == 1


def test_as_part_of_a_callers_transaction(scene: Scene) -> None:
    event = WaitRequest.for_event(EventQuery(("email_open",)), replace(E, step_id="s"))
    requests = [WaitRequest.fixed_time("1h", E), event]

    def work(connection: Connection) -> CreateTotals:
        return scene.waits.create_waits(requests, connection=connection)

    assert scene.database.write(work, rollback=True).created == 2
    assert scene.waits.list_waits()[0] == []
    assert scene.database.write(work).created == 2
    assert len(scene.waits.list_waits()[0]) == 2


def test_a_callers_transaction_that_could_lose_a_wake_up_is_refused(postgres_url: str) -> None:
    database = Database(postgres_url)
    service = WaitSchedulingService(database)
    engine = sa.create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    strict = engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with strict as connection, pytest.raises(UnsafeConnectionError):
        service.create_waits([WaitRequest.for_event(EventQuery(("email_open",)), E)], connection=connection)
    engine.dispose()
    database.close()


# -- races -------------------------------------------------------------------------------------------------------------


def test_no_wake_up_is_lost_between_a_batch_and_recorders(url: str) -> None:
    """Each contact's event is recorded once, before, while or after its wait is created: every wait ends."""
    contacts = [f"c{number}" for number in range(40)]
    creator, recorder = Database(url), Database(url)
    service, events = WaitSchedulingService(creator), EventService(recorder)
    query = EventQuery(("email_open",))

    def record() -> None:
        for contact in contacts:
            events.record(make_event("email_open", contact))

    at_once(
        lambda: service.create_waits(
            WaitRequest.for_event(query, WaitSpec(contact, contact_id=contact)) for contact in contacts
        ),
        record,
    )
    assert {status.wait.status for status in service.list_waits(limit=100)[0]} == {WaitExecutionStatus.RESUMED}
    creator.close()
    recorder.close()


def test_a_batch_waits_for_who_records_its_topic(postgres_url: str) -> None:
    """The recorder's event is committed while the batch waits for the lock, and the batch finds it."""
    one, other = Database(postgres_url), Database(postgres_url)
    service, events = WaitSchedulingService(one), EventService(other)
    requests = [WaitRequest.for_event(EventQuery(("email_open",)), WaitSpec("e", contact_id="ada"))]

    def record(connection: Connection) -> Background[CreateTotals]:
        events.record(make_event("email_open", "ada"), connection)
        creating = Background(lambda: service.create_waits(requests))
        until_blocked(postgres_url, creating, "advisory")
        return creating

    assert other.write(record).result().created == 1
    assert service.list_waits()[0][0].wait.status is WaitExecutionStatus.RESUMED
    one.close()
    other.close()


def test_two_batches_of_the_same_create_each_wait_once(url: str) -> None:
    one, other = Database(url), Database(url)
    requests = [WaitRequest.fixed_time("1h", WaitSpec(f"e{n}", idempotency_key=f"k{n}")) for n in range(300)]
    totals = at_once(
        lambda: WaitSchedulingService(one).create_waits(requests),
        lambda: WaitSchedulingService(other).create_waits(reversed(requests)),
    )
    assert sum(each.created for each in totals) == 300
    assert sum(each.existing for each in totals) == 300
    one.close()
    other.close()
