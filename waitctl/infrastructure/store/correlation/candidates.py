"""What fits the listeners that Python has a say in: of an event who may take it, and of a new wait what is there.

A look-back goes through the events of a topic a page at a time, the oldest first, and no further than to one that the
wait takes. What a condition has said about a page is kept when the transaction has to be rolled back and run again
(`verdicts`), and then the page is not read again, however many events there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from waitctl.domain.matching import Candidate, choose
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.values import dataclass
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store.correlation.verdicts import Answer, Passed, Question, Verdicts

if TYPE_CHECKING:
    from waitctl.domain.conditions import Subject

_PAGE = 2_500
"""Events that a look-back reads at once: about as many as a transaction's conditions may be asked about."""

_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class Candidates:
    """What fits the listeners that Python has a say in, the oldest events first, conditions included.

    ``diagnostics``: by listener, the last event whose condition said neither yes nor no, and why.
    """

    single: list[Row] = field(default_factory=list)
    grouped: list[Row] = field(default_factory=list)
    diagnostics: dict[str, str] = field(default_factory=dict)

    def chosen(self) -> list[Row]:
        """The candidates of waits that one event ends, and that take theirs now."""
        rows = {(row.wait_id, row.listener_id, row.event_id): row for row in self.single}
        candidates = (Candidate(row.wait_id, row.listener_id, row.event_id, row.exclusive) for row in rows.values())
        return [rows[c.wait_id, c.listener_id, c.event_id] for c in choose(candidates)]

    def add(self, row: Row) -> None:
        """Take in one whose condition holds."""
        (self.grouped if row.group_no else self.single).append(row)


def find_candidates(connection: Connection, wanted: str, verdicts: Verdicts, now: datetime) -> Candidates:
    """Who may take these events. Raises `OverBudgetError`."""
    rows = connection.execute(kept("find_candidates"), {"wanted": wanted, "now": now}).all()
    questions = [Question(row.where, row.event_id, row.context) for row in rows if row.where is not None]
    said = iter(verdicts.of(connection, questions, _get_subjects, is_old=False))
    found = Candidates()
    for row in rows:
        verdict = next(said) if row.where is not None else True
        if isinstance(verdict, str):
            found.diagnostics[row.listener_id] = _diagnostic(row, verdict)
        elif verdict:
            found.add(row)
    return found


def look_back(connection: Connection, wait_id: str, verdicts: Verdicts, now: datetime) -> Candidates:
    """What a new wait may take of what is there. Its topics' locks must be held. Raises `OverBudgetError`."""
    found = Candidates()
    for listener in connection.execute(kept("find_judged"), {"wait_id": wait_id}).all():
        _LookBack(connection, listener, verdicts, now).run(found)
    for rows in (found.single, found.grouped):
        rows.sort(key=lambda row: (row.received_at, row.event_id))
    return found


class _LookBack:
    """A listener's way through the events of its topic."""

    def __init__(self, connection: Connection, listener: Row, verdicts: Verdicts, now: datetime) -> None:
        self._connection, self._listener, self._verdicts = connection, listener, verdicts
        self._topic = {"contact_id": listener.contact_id, "event_type": listener.event_type}
        self._given = {**self._topic, "listener_id": listener.id, "now": now}
        self._context: JsonObject | None = listener.context
        self._passed = self._recall()

    def run(self, found: Candidates) -> None:
        """Add what it may take to what was ``found``, no more than it needs."""
        needed = self._listener.needed if self._listener.group_no > 0 else 1
        if self._listener.distinct is not None:
            needed = None  # which of them differ is for the statement that counts them
        at = self._passed.at, self._passed.beyond
        try:
            for row in self._rows():
                found.add(row)
                if needed is not None:
                    needed -= 1
                    if not needed:
                        break
        finally:
            if (self._passed.at, self._passed.beyond) != at:
                self._passed.count = self._count()
        if self._passed.diagnostic is not None:
            found.diagnostics[self._listener.id] = self._passed.diagnostic

    def _rows(self) -> Iterator[Row]:
        passed = self._passed
        if passed.hits:
            given = {**self._given, "ids": passed.hits, "most": len(passed.hits)}
            yield from (row for row in self._connection.execute(kept("find_earlier", "among"), given) if row.may_have)
        while True:
            given = {**self._given, "at": passed.at, "beyond": passed.beyond, "most": _PAGE}
            page = self._connection.execute(kept("find_earlier", "beyond"), given).all()
            hits = list[str]()
            for row, answer in zip(page, self._ask(page), strict=True):
                if answer is True:
                    hits.append(row.event_id)
                    if row.may_have:
                        yield row
                elif isinstance(answer, str) and row.may_have:
                    passed.diagnostic = _diagnostic(row, answer)
            if len(page) < _PAGE:
                return
            passed.at, passed.beyond = page[-1].received_at, page[-1].event_id
            passed.hits += hits
            self._verdicts.forget([row.event_id for row in page])

    def _ask(self, page: Sequence[Row]) -> Sequence[Answer]:
        if (text := self._listener.where) is None:
            return [True] * len(page)
        questions = [Question(text, row.event_id, self._context) for row in page]
        return self._verdicts.of(self._connection, questions, _get_subjects, is_old=True)

    def _recall(self) -> Passed:
        """How far the same look-back has come, unless anything has come in there, or gone, meanwhile."""
        asked = self._listener
        since: datetime = asked.since_at
        if asked.where is None:
            return Passed(since, since, _BEFORE_ALL)
        context = Question(asked.where, "", self._context).key[2]
        key = *self._topic.values(), to_json(asked.match), to_json(asked.match_json), asked.human, asked.where, context
        passed = self._verdicts.passed.get(key)
        if passed is not None and passed.since <= since:
            self._passed = passed
            if passed.count is None or self._count() == passed.count:
                return passed
        self._verdicts.passed[key] = passed = Passed(since, since, _BEFORE_ALL)
        return passed

    def _count(self) -> int:
        given = {**self._topic, "since": self._passed.since, "before": self._passed.at}
        return int(self._connection.execute(kept("count_passed"), given).scalar_one())


def _diagnostic(row: Row, said: str) -> str:
    return f"event {row.event_id}: {said}"


def _get_subjects(connection: Connection, event_ids: Sequence[str]) -> Mapping[str, tuple[Subject, int]]:
    from waitctl.domain.conditions import Subject

    def subject(row: Any) -> Subject:
        return Subject(
            event_type=row.event_type,
            contact_id=row.contact_id,
            data=row.data,
            at=row.occurred_at or row.received_at,
            source=row.source,
        )

    rows = connection.execute(kept("get_subjects"), {"ids": event_ids})
    return {row.id: (subject(row), row.size) for row in rows}
