"""What a tick says while it works, by the standard library's logging: each record has its fields beside its words.

An application that runs a tick of its own gets them from the logger ``waitctl``; `waitctl tick` writes them to standard
error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from waitctl.domain.instants import format_instant
from waitctl.domain.statuses import DeliveryStatus

if TYPE_CHECKING:
    from waitctl.infrastructure.store.deliveries import NamedDelivery

FIELDS = "waitctl_fields"
"""The attribute of a record that has its fields; ``event`` says what happened."""

log = logging.getLogger("waitctl")
log.addHandler(logging.NullHandler())


def say(level: int, event: str, message: str, **fields: Any) -> None:
    """One record of what happened."""
    if log.isEnabledFor(level):
        log.log(level, "%s", message, extra={FIELDS: {"event": event, **fields}})


def say_settled(delivery: NamedDelivery) -> None:
    """A delivery that was not taken: it died, or is to be tried again."""
    if delivery.status is DeliveryStatus.DEAD:
        _say_delivery(logging.ERROR, "dead", delivery, delivery.last_error)
    elif delivery.status is DeliveryStatus.PENDING:
        _say_delivery(logging.WARNING, "retried", delivery, delivery.last_error)


def say_held(delivery: NamedDelivery, reason: str) -> None:
    """A delivery that no tick of this host may hand out now."""
    _say_delivery(logging.WARNING, "held", delivery, reason)


def _say_delivery(level: int, event: str, delivery: NamedDelivery, reason: str | None) -> None:
    of = "" if delivery.max_attempts is None else f" of {delivery.max_attempts}"
    attempt = f", attempt {delivery.attempt}{of}" if delivery.attempt else ""
    again_at = format_instant(delivery.next_attempt_at) if event == "retried" else None
    say(
        level,
        event,
        f"{event}: delivery {delivery.delivery_id} to {delivery.handler}, wait {delivery.wait_id} "
        f"({delivery.execution}, step {delivery.step}){attempt}"
        + (f", again at {again_at}" if again_at else "")
        + f": {reason or 'it said nothing'}",
        delivery_id=delivery.delivery_id,
        wait_id=delivery.wait_id,
        execution=delivery.execution,
        step=delivery.step,
        handler=delivery.handler,
        attempt=delivery.attempt,
        max_attempts=delivery.max_attempts,
        next_attempt_at=again_at,
        reason=reason,
    )
