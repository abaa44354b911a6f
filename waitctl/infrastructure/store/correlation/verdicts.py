"""What conditions say about events, and how much of it is found out while others wait for the locks.

A condition, an event and a wait's context never change, so it does not matter when one is asked about the others. What
exceeds a transaction's budget is asked after the transaction has been rolled back, with no lock held, and then the
transaction runs again and finds the answers. Nothing was matched in the first one, so nothing is matched twice; a wait
that is created meanwhile is met by the second one like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import TypeAlias, TypeVar

from waitctl.domain.conditions import ConditionError, Subject, sees_context
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Caller, Database
from waitctl.infrastructure.executor import Connection

T = TypeVar("T")

BUDGET = 1_000_000
"""Steps of conditions (see `conditions.Subject.work`) in one transaction: about an eighth of a second."""

_EACH = 300
"""Steps that it takes to ask at all."""

_COMPILE = 100
"""Steps for each character of a condition the first time that it is asked: a tree is made of it, as a rule."""

Answer: TypeAlias = "bool | str"
"""Whether a condition holds; a text says why it says neither yes nor no."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether the condition ``text`` holds for an event, of a wait with this context."""

    text: str
    event_id: str
    context: JsonObject | None

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for the same answer: many waits may ask the same of an event."""
        return self.text, self.event_id, to_json(self.context) if self.context and sees_context(self.text) else ""


LoadSubjects: TypeAlias = "Callable[[Connection, Sequence[str]], Mapping[str, tuple[Subject, int]]]"
"""Fetches events by id, each with the bytes of its data."""

_AT_ONCE, _MOST_AT_ONCE = 4, 64
"""Events that were there before the transaction are fetched so many at a time, more where they are small."""

_SMALL = 64 * 1024
"""Bytes of what was fetched at once that let twice as many be fetched the next time."""


class Subjects:
    """Events as conditions see them. ``bytes_read``: of what was fetched so far.

    Those that the transaction has brought in are fetched in it, all at once; what was there before, ``is_old``, a few
    at a time in the order in which it is asked for, so that neither the lock nor the memory holds all of it.
    """

    def __init__(self, connection: Connection, load: LoadSubjects, ids: Sequence[str], *, is_old: bool) -> None:
        self._load, self._ids = load, ids
        self._places = {event_id: place for place, event_id in enumerate(ids)}
        self._connection = connection
        self._at_once = _AT_ONCE if is_old else len(ids)
        self._held: Mapping[str, tuple[Subject, int]] = {}
        self.bytes_read = 0
        if ids and not is_old:
            self.get(ids[0])  # all of them

    def get(self, event_id: str, database: Database | None = None) -> Subject | None:
        """An event; ``None`` when it is gone. From the ``database``, once the transaction is over."""
        if event_id not in self._held:
            place = self._places[event_id]
            wanted = self._ids[place : place + self._at_once]
            if database is None:
                self._held = self._load(self._connection, wanted)
            else:
                with database.read() as connection:
                    self._held = self._load(connection, wanted)
            size = sum(size for _, size in self._held.values())
            self.bytes_read += size
            self._at_once = min(2 * self._at_once, _MOST_AT_ONCE) if size < _SMALL else _AT_ONCE
        found = self._held.get(event_id)
        return None if found is None else found[0]


class OverBudgetError(Exception):
    """What conditions there are takes too long for one transaction. It has changed nothing since they were met."""

    def __init__(self, verdicts: Verdicts, questions: Sequence[Question], subjects: Subjects) -> None:
        super().__init__("the conditions take too long for one transaction")
        self._verdicts, self._questions, self._subjects = verdicts, questions, subjects

    @property
    def event_ids(self) -> set[str]:
        """The events that are left to ask about."""
        return {question.event_id for question in self._questions}

    def answer(self, database: Database, *, may_go_on: Callable[[], bool]) -> bool:
        """Ask them now, with no lock held, while ``may_go_on``. Returns whether all have been."""
        for question in self._questions:
            if not may_go_on():
                return False
            if (subject := self._subjects.get(question.event_id, database)) is not None:
                self._verdicts.ask(question, subject)
        return True


@dataclass(slots=True)
class Passed:
    """What a look-back has behind it: a condition says no to all events before a mark, but for the ``hits``.

    Those stand there although they were another wait's: they may be free again. The ``count`` of the topic's events
    from ``since`` on to the mark says whether any has come in between.
    """

    since: datetime
    at: datetime
    beyond: str = ""
    count: int | None = None
    hits: list[str] = field(default_factory=list)
    diagnostic: str | None = None


class Verdicts:
    """The answers so far. ``budget``: steps a transaction, None for a caller's that has to be finished in one."""

    def __init__(self, budget: int | None = BUDGET) -> None:
        self._budget, self._spent = budget, 0
        self._answers: dict[tuple[str, str, str], Answer] = {}
        self.passed: dict[object, Passed] = {}
        """Of look-backs, by what they ask of which topic."""

    def begin(self) -> None:
        """Begin a transaction, with the whole budget."""
        self._spent = 0

    def of(
        self, connection: Connection, questions: Sequence[Question], load: LoadSubjects, *, is_old: bool
    ) -> list[Answer]:
        """The answers to these questions. ``load`` and ``is_old`` as `Subjects` has them.

        Raises `OverBudgetError` when those that are not known yet take too long: a byte that is read is a step, too.
        """
        keys = [question.key for question in questions]
        new = {key: each for key, each in zip(keys, questions, strict=True) if key not in self._answers}
        asked = list(new.values())
        subjects = Subjects(connection, load, list(dict.fromkeys(each.event_id for each in asked)), is_old=is_old)
        read, compiled = subjects.bytes_read, set[str]()
        for place, question in enumerate(asked):
            if question.text not in compiled:
                compiled.add(question.text)
                self._spent += _COMPILE * len(question.text)
            if self._is_spent:
                raise OverBudgetError(self, asked[place:], subjects)
            if (subject := subjects.get(question.event_id)) is None:
                raise AssertionError("an event that was found a moment ago is gone")
            self._spent += subjects.bytes_read - read
            read = subjects.bytes_read
            if self._budget is not None:
                self._spent += _EACH + subject.work(question.text, question.context)
                if self._is_spent:
                    raise OverBudgetError(self, asked[place:], subjects)
            self.ask(question, subject)
        return [self._answers[key] for key in keys]

    @property
    def _is_spent(self) -> bool:
        return self._budget is not None and self._spent > self._budget

    def forget(self, event_ids: Collection[str]) -> None:
        """Let go of what was said about these events: nobody asks again."""
        if self._answers:
            gone = set(event_ids)
            self._answers = {key: answer for key, answer in self._answers.items() if key[1] not in gone}

    def ask(self, question: Question, subject: Subject) -> None:
        """Find an answer out, and keep it."""
        try:
            self._answers[question.key] = subject.holds(question.text, question.context)
        except ConditionError as error:
            self._answers[question.key] = str(error)


def write_within_budget(
    database: Database,
    work: Callable[[Connection, Verdicts], T],
    connection: Caller | None = None,
    *,
    may_go_on: Callable[[], bool] = lambda: True,
    rollback: bool = False,
    is_news: Callable[[T], bool] = lambda _: True,
) -> T:
    """`Database.write` for work that matches: when conditions exceed the budget they are asked between two attempts.

    In a caller's transaction there is no second attempt, and no budget. Raises `OverBudgetError`, and has done nothing,
    when ``may_go_on`` says no meanwhile.
    """
    if connection is not None:
        return database.write(lambda caller: work(caller, Verdicts(None)), connection)
    verdicts = Verdicts()

    def attempt(own: Connection) -> T:
        verdicts.begin()
        return work(own, verdicts)

    while True:
        try:
            return database.write(attempt, rollback=rollback, is_news=is_news)
        except OverBudgetError as over:
            if not over.answer(database, may_go_on=may_go_on):
                raise
