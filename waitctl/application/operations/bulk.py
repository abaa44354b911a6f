"""Many waits changed at once: a plan is written down and looked at, applied, and undone (semantics 32)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from waitctl.application.calendars.opening_rules import HostOpeningRules
from waitctl.application.coming_again import ComingAgain
from waitctl.application.documents import instant
from waitctl.application.id_lookup import PLAN, find_cursor, find_id
from waitctl.application.waits.changes import Replan
from waitctl.application.waits.planning import MoveOptions, MovePlanner
from waitctl.domain.errors import ConflictError, InvalidWaitConfigurationError, PlanTooLargeError
from waitctl.domain.events import topic_bucket
from waitctl.domain.filters import WaitFilter
from waitctl.domain.instants import format_instant
from waitctl.domain.plans import KEPT_FOR, LEASE, Fate, Plan, PlanKind, PlanStatus, why_kept, why_skipped
from waitctl.domain.statuses import OPEN, WaitExecutionStatus
from waitctl.domain.text import JsonObject, check_reason
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import outcomes, rollups
from waitctl.infrastructure.store import plans as store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.correlation import matching
from waitctl.infrastructure.store.correlation.verdicts import Verdicts, write_within_budget
from waitctl.infrastructure.store.plans import Audit, Entry, PlanBatch, PlannedMove

T = TypeVar("T")

SAMPLE = 10
"""Waits that a plan shows."""

_WRITTEN_AT_ONCE = 10_000
_MOVED_AT_ONCE = 2000
_AHEAD = 2
_DONE_AT_ONCE = 2000
_LISTED_AT_ONCE = 50_000
"""PostgreSQL goes through all that is left of a plan for the next of its waits: not for each batch anew."""
_LOOK_EVERY = 0.1
"""Seconds between two looks at a plan that somebody else works at."""


class BulkService:
    """Plans changes of many waits, applies and undoes them: in batches, each a short transaction.

    A batch changes only waits that are as the plan has seen them, and notes what became of each in the same
    transaction: so a run that was killed is continued by the next one. One run works at a plan at a time, by a lease.
    """

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor
        self._planner = MovePlanner(self._database, actor=actor, settings=settings)
        self._coming_again = ComingAgain(self._database, settings, actor=actor)
        self._host_rules = HostOpeningRules(settings)

    # -- planning -------------------------------------------------------------------------------------------------

    def plan(
        self,
        kind: PlanKind,
        wanted: WaitFilter,
        *,
        moves: MoveOptions | None = None,
        reason: str | None = None,
        cap: int | None = None,
    ) -> Plan:
        """Write down what is to become of the waits that are meant; nothing of it is done.

        ``moves`` say where those to be rescheduled go. Raises `InvalidWaitConfigurationError` when ended ones are asked
        for, or for what cannot be meant; `InvalidWaitDateError`; `PlanTooLargeError` when more than ``cap`` are meant.
        """
        if reason is not None:
            check_reason(reason)
        moves = moves.checked() if moves else None
        ended = set(wanted.statuses) - OPEN
        if ended and kind is not PlanKind.RETRY:
            raise InvalidWaitConfigurationError(
                f"only open waits can be changed so, and these have ended: status {', '.join(sorted(ended))}"
            )
        wanted = wanted.checked()
        with self._database.read() as connection:
            now = self._database.clock(connection)
            limit = None if cap is None else cap + 1
            ids = store.find_wanted(connection, wanted.at(now), kind, now=now, limit=limit)
        if cap is not None and len(ids) > cap:
            raise PlanTooLargeError(f"more than {cap:,} waits are meant", hint="narrow the filter")
        plan = self._begin(kind, {"filters": filter_document(wanted)} | (moves.to_json() if moves else {}), reason)
        if moves is None:
            for part in _parts(ids, _WRITTEN_AT_ONCE):
                self._write_entries(plan, wanted.at(now), now, part)
        else:
            self._write_moves(plan, moves, ids)
        return self._finish(plan)

    def replan(
        self, wanted: WaitFilter, *, zone: str | None = None, apply: bool = False, cap: int = 1000
    ) -> tuple[Replan, Plan | None]:
        """`ReschedulingService.replan`, by a plan: it can be applied later, and undone. None when nothing would change.

        Raises `ReplanTooLargeError` when ``apply`` would change more than ``cap`` waits; then there is no plan.
        """
        wanted = wanted.checked()
        found, moves = self._planner.plan_again(wanted, zone)
        found.check_cap(cap if apply else None)
        if not moves:
            return found, None
        options = {"filters": filter_document(wanted)} | ({} if zone is None else {"tz": zone})
        plan = self._begin(PlanKind.REPLAN, options, None)
        for part in _parts(moves, _MOVED_AT_ONCE):
            self._write_planned(plan, part)
        plan = self._finish(plan)
        if apply:
            plan = self.apply(plan.id)
        return replace(found, applied=plan.applied), plan

    def _begin(self, kind: PlanKind, options: JsonObject, reason: str | None) -> Plan:
        def work(connection: Connection) -> Plan:
            now = self._database.clock(connection)
            begun = (kind, PlanStatus.PLANNING, options, reason, self._actor, now, now + KEPT_FOR)
            plan = Plan(new_id(), *begun, matched=0, run=0, lease_expires_at=None, applied_at=None, undone_at=None)
            store.insert_plan(connection, plan)
            return plan

        return self._database.write(work, is_news=lambda _: False)

    def _write_entries(self, plan: Plan, wanted: WaitFilter, now: datetime, ids: Sequence[str]) -> None:
        def work(connection: Connection) -> None:
            store.insert_entries(connection, plan.id, ids, wanted, plan.kind, now=now)

        self._database.write(work, is_news=lambda _: False)

    def _write_moves(self, plan: Plan, moves: MoveOptions, ids: Sequence[str]) -> None:
        written: deque[Future[None]] = deque()
        # While the database takes one part in, the next one is worked out.
        with ThreadPoolExecutor(max_workers=1) as writer:
            for part in _parts(ids, _MOVED_AT_ONCE):
                with self._database.read() as connection:
                    planned = self._planner.plan(connection, part, moves)
                written.append(writer.submit(self._write_planned, plan, planned))
                if len(written) > _AHEAD:
                    written.popleft().result()
            for each in written:
                each.result()

    def _write_planned(self, plan: Plan, planned: Sequence[PlannedMove]) -> None:
        self._database.write(
            lambda connection: store.insert_moves(connection, plan.id, planned), is_news=lambda _: False
        )

    def _finish(self, plan: Plan) -> Plan:
        def work(connection: Connection) -> Plan:
            store.finish_planning(connection, plan.id)
            return self._get(connection, plan.id)

        return self._database.write(work, is_news=lambda _: False)

    # -- looking --------------------------------------------------------------------------------------------------

    def get_plan(self, plan_id: str) -> Plan:
        """A plan by its id, or a head or tail of it. Raises `PlanNotFoundError` or `AmbiguousIdError`."""
        with self._database.read() as connection:
            return self._get(connection, find_id(connection, PLAN, plan_id))

    def list_plans(self, *, limit: int = 50, after: str | None = None) -> list[Plan]:
        """Plans, newest first, older than the plan ``after`` (its id, or a head or tail of it)."""
        with self._database.read() as connection:
            last = find_cursor(connection, PLAN, after) if after else None
            return store.list_plans(connection, limit=limit, after=last)

    def list_entries(self, plan: Plan, *, limit: int = SAMPLE, after: str | None = None) -> list[Entry]:
        """Waits of a plan, by id."""
        with self._database.read() as connection:
            return store.list_entries(connection, plan.id, limit=limit, beyond=after or store.FIRST)

    def _get(self, connection: Connection, plan_id: str) -> Plan:
        plan = store.get_plan(connection, plan_id)
        if plan is None:
            raise PLAN.not_found(plan_id)
        return plan

    # -- applying and undoing -------------------------------------------------------------------------------------

    def apply(self, plan_id: str, *, cap: int | None = None, seconds: float | None = None) -> Plan:
        """Do what a plan says, but to waits that are not as it has seen them. Returns it, with what became of each.

        Where a run was killed the next one goes on; while one is alive another waits for it. With ``seconds`` it waits
        for nobody, and stops after that long behind a batch: the plan is then still being applied, and the next run
        goes on. Raises `ConflictError` when the plan has been applied, or has expired, and `PlanTooLargeError` when it
        means more than ``cap``.
        """
        run = self._begin_run(plan_id, PlanStatus.APPLYING, lambda plan, now: plan.check_may_apply(now, cap), seconds)
        return self._work(run, self._apply_batch, seconds)

    def undo(self, plan_id: str, *, cap: int | None = None, seconds: float | None = None) -> Plan:
        """Make the waits that a plan has cancelled or moved what they were, but those that something has touched since.

        Returns the plan, with what became of each; ``seconds`` as of `apply`. Raises `ConflictError` when there is
        nothing to undo, and `PlanTooLargeError` when it means more than ``cap``.
        """
        run = self._begin_run(plan_id, PlanStatus.UNDOING, lambda plan, now: plan.check_may_undo(now, cap), seconds)
        return self._work(run, self._undo_batch, seconds)

    def _begin_run(
        self, plan_id: str, status: PlanStatus, check: Callable[[Plan, datetime], None], seconds: float | None
    ) -> Plan:
        with self._database.read() as connection:
            full = find_id(connection, PLAN, plan_id)

        def work(connection: Connection) -> Plan | None:
            plan = store.lock_plan(connection, full)
            if plan is None:
                raise PLAN.not_found(full)
            check(plan, self._database.clock(connection))
            now = self._database.real_clock(connection)
            if plan.lease_expires_at is not None and plan.lease_expires_at > now:
                return None
            store.begin_run(connection, full, status, until=now + LEASE)
            return replace(plan, run=plan.run + 1, status=status)

        while (run := self._database.write(work, is_news=lambda _: False)) is None:
            if seconds is not None:
                raise ConflictError(f"somebody else works at the plan {full}", hint="look at it again in a moment")
            time.sleep(_LOOK_EVERY)
        return run

    def _work(
        self, run: Plan, do: Callable[[Connection, Plan, PlanBatch, Verdicts], set[str]], seconds: float | None
    ) -> Plan:
        def work(batch: PlanBatch, connection: Connection, verdicts: Verdicts) -> bool:
            self._renew(connection, run)
            self._note_rest(connection, run, batch, do(connection, run, batch, verdicts))
            return True

        began, is_first = time.monotonic(), True
        for batch in self._batches(run):
            if seconds is not None and not is_first and time.monotonic() >= began + seconds:
                return self._database.write(partial(self._let_go, run), is_news=lambda _: False)
            is_done = False
            while not is_done:
                with suppress(store.StepTakenError):  # the next look sees who has it
                    is_done = write_within_budget(self._database, partial(work, batch))
            is_first = False
        return self._database.write(partial(self._finish_run, run), is_news=lambda _: False)

    def _let_go(self, run: Plan, connection: Connection) -> Plan:
        """Leave a plan to whoever goes on with it."""
        store.renew_run(connection, run.id, run.run, until=self._database.real_clock(connection))
        return self._get(connection, run.id)

    def _batches(self, run: Plan) -> Iterator[PlanBatch]:
        """The waits that nothing has become of yet, by id."""
        undone, beyond = run.status is PlanStatus.UNDOING, store.FIRST
        while True:
            with self._database.read() as connection:
                left = store.list_left(connection, run.id, undone=undone, beyond=beyond, limit=_LISTED_AT_ONCE)
            for part in _parts(left, _DONE_AT_ONCE):
                yield (batch := PlanBatch.of(run.id, beyond, part))
                beyond = batch.last
            if len(left) < _LISTED_AT_ONCE:
                return

    def _renew(self, connection: Connection, run: Plan) -> None:
        now = self._database.real_clock(connection)
        if not store.renew_run(connection, run.id, run.run, until=now + LEASE):
            raise ConflictError(f"somebody else has taken over the plan {run.id}")

    def _finish_run(self, run: Plan, connection: Connection) -> Plan:
        self._renew(connection, run)
        undone = run.status is PlanStatus.UNDOING
        store.finish_run(connection, run.id, run.run, undone=undone, now=self._database.clock(connection))
        return self._get(connection, run.id)

    def _apply_batch(self, connection: Connection, run: Plan, batch: PlanBatch, _: Verdicts) -> set[str]:
        if run.kind.moves:
            return self._move(connection, run, batch)
        act = self._retry if run.kind is PlanKind.RETRY else self._end
        return act(connection, run, batch)

    def _undo_batch(self, connection: Connection, run: Plan, batch: PlanBatch, verdicts: Verdicts) -> set[str]:
        if run.kind.moves:
            return self._move(connection, run, batch, back=True)
        return self._reopen(connection, run, batch, verdicts)

    def _end(self, connection: Connection, run: Plan, batch: PlanBatch) -> set[str]:
        now, resolution = self._database.clock(connection), run.kind.resolution
        assert resolution is not None
        done = store.end_planned(connection, batch, resolution, self._audit(run, resolution.value, now))
        if not done:
            return done
        # What stops a recurrence ends with its wait, and is to be there again when that is.
        ended = store.add_stop_waits(connection, run.id, done) if run.kind is PlanKind.CANCEL else []
        self._coming_again.go_on_among(connection, sorted(done), now=now)
        if ended:
            store.note_ended(connection, run.id, ended, now=now)
        return done

    def _move(self, connection: Connection, run: Plan, batch: PlanBatch, *, back: bool = False) -> set[str]:
        now = self._lock_topics(connection, batch)
        what = "moved back" if back else "replanned" if run.kind is PlanKind.REPLAN else "rescheduled"
        return store.move_planned(connection, batch, self._audit(run, what, now), back=back)

    def _retry(self, connection: Connection, run: Plan, batch: PlanBatch) -> set[str]:
        now = self._database.clock(connection)
        done = store.claim_planned(connection, batch, now=now)
        revived = delivery_store.retry_deliveries(connection, store.dead_of(connection, done), now=now)
        audit = self._audit(run, "its delivery is retried", now)
        outcomes.mark_waits(connection, sorted(revived), dead=False, now=now, reason=audit.reason, actor=audit.actor)
        return done

    def _reopen(self, connection: Connection, run: Plan, batch: PlanBatch, verdicts: Verdicts) -> set[str]:
        """Open cancelled waits again. An event that came for them meanwhile counts, as it does for a new wait."""
        mark = rollups.hold_mark(connection, "waits")
        now = self._lock_topics(connection, batch)
        endings = rollups.endings_of(connection, batch.ids, mark)
        listens = WaitExecutionStatus.WAITING in batch.statuses
        cancelled_at = store.seen_at_of(connection, batch) if listens else ()
        done = store.reopen_planned(connection, batch, self._audit(run, "reopened", now))
        if done:
            rollups.take_back(connection, [each for each in endings if each.wait_id in done])
            rollups.move_mark(connection, "uncounted", self._database.real_clock(connection))
            store.revive_recurrences(connection, done, now=now)
        missed = store.find_missed(connection, [each for each in cancelled_at if each[0] in done])
        for wait_id in missed:
            self._catch_up(connection, wait_id, verdicts, now)
        return done

    def _catch_up(self, connection: Connection, wait_id: str, verdicts: Verdicts, now: datetime) -> None:
        """Let a wait that listens again have the event that came while it did not."""
        matching.correlate_wait(
            connection,
            wait_id,
            self._host_rules.for_event,
            verdicts,
            now=now,
            reason=self._database.dated("event "),
            actor=self._actor,
        )
        if not self._is_open(connection, wait_id):
            self._coming_again.stop_by(connection, [wait_id], now=now)

    def _is_open(self, connection: Connection, wait_id: str) -> bool:
        wait = wait_store.get_wait(connection, wait_id)
        return wait is not None and wait.status.is_open

    def _lock_topics(self, connection: Connection, batch: PlanBatch) -> datetime:
        buckets = [topic_bucket(*topic) for topic in store.topics_of(connection, batch)]
        return self._database.lock_topics(connection, buckets, exclusive=True)

    def _note_rest(self, connection: Connection, run: Plan, batch: PlanBatch, done: set[str]) -> None:
        """Note why nothing was done to the other waits of a batch."""
        if done >= batch.ids:
            return
        undone = run.status is PlanStatus.UNDOING
        left: dict[Fate, list[str]] = {}
        for look in store.look_at_rest(connection, batch, undone=undone):
            left.setdefault(why_kept(look) if undone else why_skipped(look, run.kind), []).append(look.wait_id)
        for fate, those in left.items():
            store.note_skipped(connection, batch, those, fate, undone=undone)

    def _audit(self, run: Plan, what: str, now: datetime) -> Audit:
        return Audit(now, self._database.dated(run.reason(what)), self._actor)


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


# -- documents ---------------------------------------------------------------------------------------------------------


def filter_document(wanted: WaitFilter) -> JsonObject:
    """A filter as a plan keeps it: what was given, in its own words."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return format_instant(value)
        return [str(each) for each in value] if isinstance(value, list | tuple) else value

    given = {name: getattr(wanted, name) for name in wanted.__dataclass_fields__}
    return {name: plain(value) for name, value in given.items() if value}


def entry_document(entry: Entry) -> JsonObject:
    """A wait of a plan."""
    return {
        "id": entry.wait_id,
        "workflow_execution_id": entry.workflow_execution_id,
        "step_id": entry.step_id,
        "status": entry.from_status,
        "from": instant(entry.due_before),
        "to": instant(entry.due_after),
        "outcome": entry.undone_fate or entry.fate,
        "note": entry.note,
    }


def plan_document(plan: Plan) -> JsonObject:
    """A plan, and how far it has come."""
    return {
        "plan_id": plan.id,
        "action": plan.kind,
        "status": plan.status,
        "options": plan.options,
        "reason": plan.said_reason,
        "created_by": plan.created_by,
        "created_at": instant(plan.created_at),
        "expires_at": instant(plan.expires_at),
        "applied_at": instant(plan.applied_at),
        "undone_at": instant(plan.undone_at),
        "matched": plan.matched,
        "applied": plan.applied,
        "skipped": plan.skipped,
        "undone": plan.undone,
        "kept": plan.kept,
    }
