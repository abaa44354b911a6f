"""Which waits are meant: the filters that `list`, `cancel`, `resume`, `pending` and their kind share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from waitctl.domain.durations import parse_offset
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError
from waitctl.domain.instants import OUTSIDE, YEARS, parse_instant
from waitctl.domain.statuses import WaitExecutionStatus, WaitType
from waitctl.domain.text import check_text, did_you_mean, normalize_contact
from waitctl.domain.values import dataclass, replace

When = datetime | timedelta
"""An instant, or so far from now; a negative span is ago."""


def parse_when(text: str, what: str) -> When:
    """Read an instant as `parse_instant` does, or a duration: ``2h`` is in two hours, ``-2h`` two hours ago.

    Raises `InvalidWaitDateError`, naming ``what``.
    """
    if re.match(r"\s*[0-9]{4}-", text):
        return parse_instant(text, what)
    try:
        offset = parse_offset(text, error=InvalidWaitDateError, zero=True)
        if offset.duration.business_days:
            raise InvalidWaitDateError(f"business days have no place here: {text!r}")
    except InvalidWaitDateError as error:
        raise InvalidWaitDateError(
            f"{what}: {error.message}",
            hint="write an instant, as in 2026-12-24T18:00:00Z, or a duration: 2h is from now, -2h ago",
        ) from error
    return offset.sign * offset.duration.elapsed


def meant_instant(when: When, now: datetime) -> datetime:
    """The instant that is meant. Raises `InvalidWaitDateError` when a span leaves the years that there are."""
    if isinstance(when, datetime):
        return when
    try:
        at = now + when
    except OverflowError as error:
        raise InvalidWaitDateError(OUTSIDE) from error
    if at.year not in YEARS:
        raise InvalidWaitDateError(OUTSIDE)
    return at


def parse_wait_type(text: str) -> WaitType:
    """A type of wait in either spelling, ``fixed-time`` or ``fixed_time``.

    Raises `InvalidWaitConfigurationError` for anything else.
    """
    name = text.strip().lower().replace("-", "_")
    if name not in set(WaitType):
        names = [kind.replace("_", "-") for kind in WaitType]
        from difflib import get_close_matches  # only on the way out

        near = get_close_matches(name.replace("_", "-"), names, n=1)
        raise InvalidWaitConfigurationError(
            f"{text!a} is not a type of wait: {', '.join(names)}",
            hint=f"did you mean {near[0]}?" if near else None,
        )
    return WaitType(name)


@dataclass(frozen=True, slots=True)
class WaitFilter:
    """Which waits are meant: those that everything given holds for. What is left out does not matter.

    ``due_before``, ``due_after`` and ``overdue`` mean open waits alone, by when a tick ends them: their instant, or the
    end of their deadline's grace. ``handler`` is a wait's own, or that of one of its outcomes. After is at or after.
    """

    statuses: Sequence[WaitExecutionStatus] = ()
    wait_types: Sequence[WaitType] = ()
    workflow_id: str | None = None
    execution_id: str | None = None
    step_id: str | None = None
    contact_id: str | None = None
    handler: str | None = None
    due_before: When | None = None
    due_after: When | None = None
    created_before: When | None = None
    created_after: When | None = None
    overdue: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it means every wait."""
        return replace(self, statuses=tuple(self.statuses), wait_types=tuple(self.wait_types)) == WaitFilter()

    def checked(self) -> WaitFilter:
        """The same with its contact normalised as create does it.

        Raises `InvalidWaitConfigurationError` for a text that no wait can have.
        """
        for text, what in (
            (self.execution_id, "the execution"),
            (self.workflow_id, "the workflow"),
            (self.step_id, "the step"),
            (self.handler, "the handler"),
        ):
            if text is not None:
                check_text(text, what)
        return self if self.contact_id is None else replace(self, contact_id=normalize_contact(self.contact_id))

    def at(self, now: datetime) -> WaitFilter:
        """The same with instants for what was given from ``now``: what a run of several pages goes by.

        Raises `InvalidWaitDateError` for a span that leaves the years that there are.
        """

        def fixed(when: When | None) -> datetime | None:
            return None if when is None else meant_instant(when, now)

        return replace(
            self,
            due_before=fixed(self.due_before),
            due_after=fixed(self.due_after),
            created_before=fixed(self.created_before),
            created_after=fixed(self.created_after),
        )


EVERY_WAIT = WaitFilter()


class SortKey(StrEnum):
    """What waits may be sorted by."""

    CREATED = "created"
    DUE = "due"
    """Its instant, or its deadline."""
    UPDATED = "updated"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class WaitOrder:
    """An order of waits. Those that have nothing under the key come where the latest do."""

    key: SortKey
    descending: bool = False

    @classmethod
    def parse(cls, text: str) -> WaitOrder:
        """Read ``due``, or ``-due`` for the other way round. Raises `InvalidWaitConfigurationError`."""
        name = text.strip().removeprefix("-")
        if name not in set(SortKey):
            raise InvalidWaitConfigurationError(
                f"{text!a} is nothing to sort by: {', '.join(SortKey)}", hint=did_you_mean(name, SortKey)
            )
        return cls(SortKey(name), text.strip().startswith("-"))


NEWEST_FIRST = WaitOrder(SortKey.CREATED, descending=True)
