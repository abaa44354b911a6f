"""The inbox table: whoever meets a row first brings it into the form of every other door, or refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from waitctl.application.contacts import note_zones
from waitctl.application.documents import instant
from waitctl.application.quarantine import keep
from waitctl.domain.errors import InvalidEventError, InvalidInputError, InvalidWaitDateError
from waitctl.domain.events import check_event_type_name, check_registered
from waitctl.domain.instants import OUTSIDE, YEARS, parse_moment
from waitctl.domain.quarantine import MAX_KEPT, Quarantined
from waitctl.domain.text import MAX_JSON, MAX_TEXT, check_stored, check_text, normalize_contact, storable, to_json
from waitctl.domain.values import dataclass
from waitctl.infrastructure.config import Settings, SourceConfig
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import inbox as store
from waitctl.infrastructure.store.inbox import InboxRow

FORMAT = "inbox"
"""The format of a row in quarantine."""

_LOOKED_AT = 1000
"""Rows that a new wait looks at, of `_MOST_BYTES` at most; with more of them waiting, the next tick does the rest."""


_MOST_BYTES = 8 * 1024 * 1024
"""Bytes of the rows that a transaction takes on, or one row more: it judges each, and SQLite writes each anew."""


def within_bytes(rows: Sequence[InboxRow]) -> Sequence[InboxRow]:
    """As many of these rows as a transaction may take on, one at least."""
    size = 0
    for place, row in enumerate(rows):
        if place and size + row.size > _MOST_BYTES:
            return rows[:place]
        size += row.size
    return rows


@dataclass(frozen=True, slots=True)
class _Admitted:
    row: InboxRow
    contact_id: str
    occurred_at: datetime | None


class Inbox:
    """Lets rows of the inbox table in, or keeps them in quarantine. ``settings`` say how much is kept."""

    def __init__(self, settings: Settings | None) -> None:
        self._sources = settings.sources if settings else {}

    def admit_of_topics(
        self,
        connection: Connection,
        event_types: Sequence[str],
        contact_id: str,
        *,
        registered: set[str],
        now: datetime,
    ) -> None:
        """Admit what may be for a contact, however it is spelled there. The topics' locks must be held."""
        rows = store.claim_of_topics(connection, event_types, contact_id, _LOOKED_AT)
        theirs = [row for row in rows if _is_of(row, contact_id)]
        self.admit(connection, within_bytes(theirs), registered=registered, now=now)

    def admit(
        self, connection: Connection, rows: Sequence[InboxRow], *, registered: set[str], now: datetime
    ) -> dict[str, str]:
        """Bring claimed rows into form. Returns their contacts by id, without those that were refused."""
        admitted, refused = list[_Admitted](), list[tuple[InboxRow, InvalidInputError]]()
        for row in rows:
            try:
                _check_data(connection, row)
                admitted.append(_admitted(row, registered))
            except InvalidInputError as error:
                refused.append((row, error))
        if refused:
            self._refuse(connection, refused, now)
        changed = {each.row.id: each.contact_id for each in admitted if each.contact_id != each.row.contact_id}
        if changed:
            store.set_contacts(connection, changed)
        if admitted:
            store.set_instants(connection, ((each.row.id, each.occurred_at) for each in admitted))
        self._note_zones(connection, admitted, now)
        return {each.row.id: each.contact_id for each in admitted}

    def _note_zones(self, connection: Connection, admitted: Sequence[_Admitted], now: datetime) -> None:
        """Write the zones of contacts that these rows tell, of sources whose events do."""
        for name, source in self._sources.items():
            ids = [each.row.id for each in admitted if each.row.source == name] if source.timezone else []
            if source.timezone and ids:
                told = ((event.contact_id, event.data) for event in event_store.get_events(connection, ids))
                note_zones(connection, told, source.timezone, now=now)

    def _refuse(
        self, connection: Connection, refused: Sequence[tuple[InboxRow, InvalidInputError]], now: datetime
    ) -> None:
        ids = [row.id for row, _ in refused]
        data = store.read_refused(connection, ids)
        kept = dict[str, list[Quarantined]]()
        for row, error in refused:
            kept.setdefault(_source(row), []).append(_quarantined(row, data[row.id], error, now))
        for source, quarantined in kept.items():
            keep(connection, quarantined, self._sources.get(source) or SourceConfig(source))
        store.delete_refused(connection, ids)


def _is_of(row: InboxRow, contact_id: str) -> bool:
    try:
        return normalize_contact(row.contact_id, error=InvalidEventError) == contact_id
    except InvalidEventError:
        return False


def _check_data(connection: Connection, row: InboxRow) -> None:
    """Judge the data as `event record` does: what other programs make of it later must be what stands there."""
    if row.size > MAX_JSON:
        raise InvalidEventError(f"the data is larger than {MAX_JSON:,} bytes: {row.size:,}")
    text = store.read_data(connection, row.id) if row.data is None else row.data
    check_stored(text, "the data", error=InvalidEventError)


def _admitted(row: InboxRow, registered: set[str]) -> _Admitted:
    """The row in form. Raises `InvalidEventError` or `InvalidEventTypeError`, as every other door does."""
    check_registered(check_event_type_name(row.event_type), registered)
    contact_id = normalize_contact(row.contact_id, error=InvalidEventError)
    check_text(row.source, "the source", error=InvalidEventError)
    if row.external_id is not None:
        check_text(row.external_id, "the id", error=InvalidEventError)
    occurred_at = row.occurred_at
    return _Admitted(row, contact_id, read_instant(occurred_at) if isinstance(occurred_at, str) else occurred_at)


def read_instant(text: str) -> datetime:
    """An instant as somebody wrote it into SQLite, whose own functions write UTC without saying so.

    Raises `InvalidEventError`.
    """
    try:
        moment = parse_moment(text, epoch=True)
        at = moment.astimezone(UTC) if isinstance(moment, datetime) else moment.assume_utc().to_stdlib()
        if at.year in YEARS:
            return at
    except InvalidWaitDateError as error:
        raise InvalidEventError(f"occurred_at: {error.message}") from error
    raise InvalidEventError(f"occurred_at: {OUTSIDE}")


def _source(row: InboxRow) -> str:
    """Under which name it is kept: as long as a name may be, since nothing else bounds what the table takes."""
    return storable(row.source[:MAX_TEXT])


def _quarantined(row: InboxRow, data: str, error: InvalidInputError, now: datetime) -> Quarantined:
    """The row as a line of a stream would have it, so that it can be looked at and tried again."""
    at = instant(row.occurred_at) if isinstance(row.occurred_at, datetime) else row.occurred_at
    fields = {"type": row.event_type, "contact": row.contact_id, "id": row.external_id, "source": row.source, "at": at}
    body = f'{to_json(fields)[:-1]},"data":{data}}}'.encode(errors="replace")
    return Quarantined(
        id=new_id(),
        source=_source(row),
        format=FORMAT,
        code=error.code,
        message=storable(error.message),
        headers={},
        url=None,
        body=body[:MAX_KEPT],
        size=max(len(body), row.size),
        verified=False,
        received_at=now,
    )
