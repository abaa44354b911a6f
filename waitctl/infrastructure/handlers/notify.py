"""The handler that sends a NOTIFY on the waits' own PostgreSQL: ids only, and nobody answers.

A payload over 8,000 bytes would be an error, so it never holds data. Who listens when it is sent gets it; nobody else
ever will: delivered means that it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from waitctl.domain.deliveries import Delivered, Failed, HandlerResult
from waitctl.domain.text import to_json
from waitctl.infrastructure.handlers import Payload, nothing
from waitctl.infrastructure.redaction import redact


class NotifyHandler:
    """Sends each payload's ids by ``send``, which commits."""

    most_at_once = 1
    one_by_one = True

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._one_at_a_time = Lock()  # PostgreSQL commits notifications one by one: more connections gain nothing

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Send each."""
        return [self._deliver(payload) for payload in payloads]

    def _deliver(self, payload: Payload) -> HandlerResult:
        ids = {
            "delivery_id": payload.delivery_id,
            "wait_id": payload.document["wait"]["id"],
            "outcome": payload.document["outcome"],
        }
        try:
            with self._one_at_a_time:
                self._send(to_json(ids))
        except Exception as error:  # noqa: BLE001 (whatever a database says; its library is not known in this room)
            return Failed(f"NOTIFY failed: {redact(str(error).partition(chr(10))[0])}")
        return Delivered()

    def stop(self, *, at_once: bool = False) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is kept."""
