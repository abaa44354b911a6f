"""What a handler gets: the delivery with its wait, its event and whatever else belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from operator import attrgetter

from waitctl.application.documents import WAIT_FIELDS, complete_document, payload_document
from waitctl.domain.deliveries import Delivery
from waitctl.domain.handlers import take_signature
from waitctl.domain.statuses import Outcome
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.due import LeasedBatch


def first_payloads(leased_batch: LeasedBatch, which: slice) -> list[tuple[Delivery, Payload]]:
    """Deliveries that were leased as they came into being, each with its payload: the only one of its wait."""
    payloads = []
    for delivery, fields in leased_batch.read(which):
        signature = take_signature(fields)
        document = payload_document(delivery, complete_document(fields, (), (delivery,)), (delivery,), None, None)
        payloads.append((delivery, Payload(delivery.id, document, signature)))
    return payloads


def make_payloads(
    connection: Connection, claimed: Sequence[Delivery], shared: Iterable[str]
) -> list[tuple[Delivery, Payload]]:
    """The claimed deliveries, oldest first, each with its payload. ``shared``: the waits that may have others.

    From rows to documents without a `WaitStepExecution` between: this is where a tick's own time goes.
    """
    if not claimed:
        return []
    sent = {delivery.wait_id: [delivery] for delivery in claimed}
    in_hand = {delivery.id: delivery for delivery in claimed}
    for wait_id, theirs in wait_store.deliveries_of(connection, list(shared)).items():
        sent[wait_id] = [in_hand.get(each.id, each) for each in theirs]
    waits = {fields["id"]: fields for fields in wait_store.get_fields(connection, list(sent), WAIT_FIELDS)}
    signatures = {wait_id: take_signature(fields) for wait_id, fields in waits.items()}
    listening = wait_store.listeners_of(connection, [each for each in sent if waits[each]["wait_type"] == "for_event"])
    event_ids = [fields["resolution_event_id"] for fields in waits.values() if fields["resolution_event_id"]]
    events = {event.id: event for event in event_store.get_events(connection, event_ids)} if event_ids else {}
    by_hand = [delivery.wait_id for delivery in claimed if delivery.outcome is Outcome.MANUAL]
    data = store.manual_data(connection, by_hand)
    documents = {
        wait_id: complete_document(fields, listening.get(wait_id, ()), sent[wait_id])
        for wait_id, fields in waits.items()
    }
    payloads = []
    for delivery in sorted(claimed, key=attrgetter("next_attempt_at", "id")):
        wait_id = delivery.wait_id
        wait = documents[wait_id]
        if len(sent[wait_id]) > 1:  # each payload is its handler's own
            wait = deepcopy(wait)
        event = events.get(wait["resolution_event_id"] or "")
        document = payload_document(delivery, wait, sent[wait_id], event, data.get(wait_id))
        payloads.append((delivery, Payload(delivery.id, document, signatures[wait_id])))
    return payloads
