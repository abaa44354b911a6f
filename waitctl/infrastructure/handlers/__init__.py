"""What takes a delivery: one Protocol, an implementation each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from waitctl.domain.deliveries import HandlerResult
from waitctl.domain.text import JsonObject, to_json


class HandlerNotReadyError(Exception):
    """This host cannot use the handler as it is: a secret is missing, say. Its deliveries are held."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery on its way out. ``document`` is its handler's own, to do with as it likes."""

    delivery_id: str
    document: JsonObject

    @property
    def line(self) -> str:
        """The document as a line of JSON."""
        return to_json(self.document) + "\n"

    @property
    def body(self) -> bytes:
        """The same as it goes out."""
        return self.line.encode()

    @property
    def environment(self) -> dict[str, str]:
        """The essentials, for the environment of a command."""
        wait, event = self.document["wait"], self.document["event"]
        return {
            "WAITCTL_DELIVERY_ID": self.delivery_id,
            "WAITCTL_ATTEMPT": str(self.document["attempt"]),
            "WAITCTL_OUTCOME": self.document["outcome"],
            "WAITCTL_WAIT_ID": wait["id"],
            "WAITCTL_EXECUTION_ID": wait["workflow_execution_id"],
            "WAITCTL_STEP_ID": wait["step_id"],
            "WAITCTL_CONTACT_ID": wait["contact_id"] or "",
            "WAITCTL_EVENT_TYPE": event["type"] if event else "",
        }


class Handler(Protocol):
    """Takes parcels and says what became of each, in their order; several threads call at once. Must not raise.

    Making one raises `HandlerNotReadyError` when the host lacks what it needs.
    """

    def deliver(self, parcels: Sequence[Parcel]) -> Sequence[HandlerResult]:
        """Hand parcels over and wait for the answers: one parcel, unless the config asks for batches."""
        ...

    def close(self) -> None:
        """Let go of what was kept between parcels, once none is out."""
        ...
