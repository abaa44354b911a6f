"""The register of contacts: their zones and what else is kept of them, until they are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from waitctl.domain.contacts import TZ_CONTACT, TZ_FIELD, Contact, value_under, zone_in_context
from waitctl.domain.errors import ContactNotFoundError, InvalidInputError, InvalidTimezoneError
from waitctl.domain.instants import check_zone
from waitctl.domain.statuses import Resolution
from waitctl.domain.text import JsonObject, check_json_object, normalize_contact
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import WaitSpec, WaitStepExecution
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import contacts as store

FORGET_REASON = "contact forgotten"


@dataclass(frozen=True, slots=True)
class ContactInput:
    """A contact as somebody gives it; what is ``None`` stays as it was."""

    contact_id: str
    timezone: str | None = None
    data: JsonObject | None = None

    def checked(self) -> ContactInput:
        """The same, normalised. Raises `InvalidWaitConfigurationError` or `InvalidTimezoneError`."""
        if self.timezone is not None:
            check_zone(self.timezone)
        if self.data is not None:
            check_json_object(self.data, "the data")
        return replace(self, contact_id=normalize_contact(self.contact_id))


@dataclass(frozen=True, slots=True)
class ImportedContacts:
    """What became of a file of contacts."""

    received: int
    written: int
    rejected: int

    def to_json(self) -> JsonObject:
        """The document of `waitctl contact import`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class ContactService:
    """Keeps the register of contacts. Every call is one transaction."""

    def __init__(self, database: Database | str, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor

    def set_contact(self, given: ContactInput) -> tuple[Contact, int]:
        """Write a contact; returns it, and how many open waits a `replan` would look at for a zone that changed."""
        given = given.checked()

        def work(connection: Connection) -> tuple[Contact, int]:
            before = store.get_contact(connection, given.contact_id)
            _write(connection, given, self._database.clock(connection))
            found = self._get(connection, given.contact_id)
            changed = (before.timezone if before else None) != found.timezone
            return found, store.count_open_by_zone(connection, found.contact_id) if changed else 0

        return self._database.write(work)

    def import_contacts(
        self,
        rows: Iterable[tuple[int, ContactInput | InvalidInputError]],
        on_rejection: Callable[[int, InvalidInputError], None],
    ) -> ImportedContacts:
        """Write a file of contacts, in one transaction. A row that cannot be read goes to ``on_rejection``."""
        received = rejected = 0
        good: list[ContactInput] = []
        for number, row in rows:
            received += 1
            try:
                if isinstance(row, InvalidInputError):
                    raise row
                good.append(row.checked())
            except InvalidInputError as error:
                rejected += 1
                on_rejection(number, error)

        def work(connection: Connection) -> None:
            now = self._database.clock(connection)
            for each in good:
                _write(connection, each, now)

        self._database.write(work)
        return ImportedContacts(received, len(good), rejected)

    def get_contact(self, contact: str) -> tuple[Contact | None, Mapping[str, int]]:
        """A contact of the register, if it is there, and how many rows of each kind are about it.

        Raises `ContactNotFoundError` when there is nothing of either.
        """
        contact_id = normalize_contact(contact)
        with self._database.read() as connection:
            found, held = store.get_contact(connection, contact_id), store.count_about(connection, contact_id)
        if found is None and not any(held.values()):
            raise _not_found(contact_id)
        return found, held

    def list_contacts(self, *, limit: int = 50, after: str | None = None) -> list[Contact]:
        """Contacts of the register by their ids, beyond ``after``."""
        with self._database.read() as connection:
            return store.list_contacts(connection, limit=limit, after=after)

    def remove_contact(self, contact: str) -> None:
        """Take a contact out of the register; its waits and events stay. Raises `ContactNotFoundError`."""
        contact_id = normalize_contact(contact)
        if not self._database.write(lambda connection: store.delete_contact(connection, contact_id)):
            raise _not_found(contact_id)

    def forget_contact(self, contact: str, *, dry_run: bool = False) -> Mapping[str, int]:
        """Remove or blank all that is held of a contact, in one transaction; returns how many rows of each kind.

        Its open waits are cancelled first, so that nothing is sent any more. The audit stays, without the person.
        Raises `ContactNotFoundError` when nothing is held.
        """
        from waitctl.infrastructure.store import forgetting as forget_store

        contact_id = normalize_contact(contact)
        if dry_run:
            return self.get_contact(contact_id)[1]

        def work(connection: Connection) -> Mapping[str, int]:
            now = self._database.clock(connection)
            held = store.count_about(connection, contact_id)
            known = store.get_contact(connection, contact_id) is not None
            if not known and not any(held.values()):
                raise _not_found(contact_id)
            reason = self._database.dated(FORGET_REASON)
            completion.end_waits(
                connection,
                forget_store.open_waits_of(connection, contact_id),
                Resolution.CANCELLED,
                now=now,
                reason=reason,
                actor=self._actor,
            )
            return forget_store.forget(connection, contact_id, now=now, reason=reason)

        return self._database.write(work)

    def _get(self, connection: Connection, contact_id: str) -> Contact:
        found = store.get_contact(connection, contact_id)
        assert found is not None
        return found


def _not_found(contact_id: str) -> ContactNotFoundError:
    return ContactNotFoundError(f"nothing is known of the contact {contact_id!a}")


def _write(connection: Connection, given: ContactInput, now: datetime) -> None:
    store.put_contact(connection, given.contact_id, given.timezone, given.data, now=now)


# -- which zone that puts a wait in ------------------------------------------------------------------------------------


def in_its_zone(connection: Connection, spec: WaitSpec) -> WaitSpec:
    """The spec in the zone of its context or its contact, if it goes by one that is known.

    Raises `InvalidTimezoneError` for a field of the context that holds no zone.
    """
    found = zone_in_context(spec.context, spec.zone_field) if spec.zone_field is not None else None
    if found is None and spec.zone_of_contact and spec.contact_id is not None:
        found = store.zones_of(connection, [normalize_contact(spec.contact_id)]).get(normalize_contact(spec.contact_id))
    return spec if found is None else replace(spec, timezone=found)


def in_its_zone_or_ask(database: Database, spec: WaitSpec) -> WaitSpec:
    """The same for a dry run, which makes no database that is not there."""
    if not spec.zone_of_contact or (database.path is not None and not database.path.exists()):
        found = zone_in_context(spec.context, spec.zone_field) if spec.zone_field is not None else None
        return spec if found is None else replace(spec, timezone=found)
    with database.read() as connection:
        return in_its_zone(connection, spec)


class ContactZones:
    """The zones of contacts, each looked up once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, str | None] = {}

    def get(self, contact_id: str) -> str | None:
        """The contact's zone; ``None`` when none is known."""
        if contact_id not in self._known:
            with self._database.read() as connection:
                self._known[contact_id] = store.zones_of(connection, [contact_id]).get(contact_id)
        return self._known[contact_id]


def zone_today(wait: WaitStepExecution, zones: ContactZones) -> str:
    """The zone that a stored wait would be in today. Raises `InvalidTimezoneError`."""
    return zone_asked_for(wait.wait_config, wait.context, wait.contact_id, zones.get) or wait.timezone


def zone_asked_for(
    config: JsonObject, context: JsonObject | None, contact_id: str | None, zone_of: Callable[[str], str | None]
) -> str | None:
    """The zone of the context or the contact, where what was asked for goes by it and it is known.

    Raises `InvalidTimezoneError` for a field of the context that holds no zone.
    """
    found = zone_in_context(context, config[TZ_FIELD]) if config.get(TZ_FIELD) else None
    if found is None and config.get(TZ_CONTACT) and contact_id is not None:
        found = zone_of(contact_id)
    return found


def note_zones(connection: Connection, found: Iterable[tuple[str, JsonObject]], field: str, *, now: datetime) -> None:
    """Write the zones that events tell: pairs of a contact and an event's data. What is no zone changes nothing."""
    zones = dict[str, str]()
    for contact_id, data in found:
        zone = value_under({"data": data}, field)
        if isinstance(zone, str):
            try:
                zones[contact_id] = check_zone(zone)
            except InvalidTimezoneError:
                continue
    for contact_id, zone in sorted(zones.items()):  # in one order, so that two events never wait for each other
        _write(connection, ContactInput(contact_id, zone), now)
