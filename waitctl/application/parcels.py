"""What a handler gets: the delivery with its wait, its event and whatever else belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from waitctl.application.documents import parcel_document
from waitctl.domain.deliveries import Delivery, Outcome
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.handlers import Parcel
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import waits as wait_store


def make_parcels(connection: Connection, claimed: Mapping[str, str]) -> list[tuple[Delivery, Parcel]]:
    """The deliveries that were claimed (delivery: wait), oldest first, each with its parcel."""
    if not claimed:
        return []
    waits = {wait.id: wait for wait in wait_store.get_waits(connection, sorted(set(claimed.values())))}
    deliveries = [delivery for wait in waits.values() for delivery in wait.deliveries if delivery.id in claimed]
    event_ids = [wait.resolution_event_id for wait in waits.values() if wait.resolution_event_id]
    events = {event.id: event for event in event_store.get_events(connection, event_ids)} if event_ids else {}
    data = store.manual_data(connection, _resumed_by_hand(deliveries))
    parcels = []
    for delivery in sorted(deliveries, key=lambda each: (each.next_attempt_at, each.id)):
        wait = waits[delivery.wait_id]
        event = events.get(wait.resolution_event_id or "")
        document = parcel_document(delivery, wait, event, data.get(wait.id))
        parcels.append((delivery, Parcel(delivery.id, document)))
    return parcels


def _resumed_by_hand(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.wait_id for delivery in deliveries if delivery.outcome is Outcome.MANUAL]
