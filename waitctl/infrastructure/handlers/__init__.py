"""What takes a delivery: one Protocol, an implementation each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from waitctl.domain.deliveries import HandlerResult, Rejected
from waitctl.domain.patterns import pattern
from waitctl.domain.text import JsonObject, holds_control, to_json
from waitctl.domain.values import dataclass


class HandlerNotReadyError(Exception):
    """This host cannot use the handler as it is: a secret is missing, say. Its deliveries are held."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A delivery on its way out. ``document`` is its handler's own, to do with as it likes.

    ``signature`` is that of the wait's command, which no handler is told.
    """

    delivery_id: str
    document: JsonObject
    signature: str | None = None

    @property
    def body(self) -> bytes:
        """The document as a line of JSON: by pydantic's writer, which takes a quarter of the time."""
        import pydantic_core

        try:
            return pydantic_core.to_json(self.document) + b"\n"
        except pydantic_core.PydanticSerializationError:  # nested more deeply than it goes, as at the inbox table
            return to_json(self.document).encode() + b"\n"

    VARIABLES: ClassVar = (
        "WAITCTL_DELIVERY_ID",
        "WAITCTL_ATTEMPT",
        "WAITCTL_OUTCOME",
        "WAITCTL_WAIT_ID",
        "WAITCTL_EXECUTION_ID",
        "WAITCTL_STEP_ID",
        "WAITCTL_CONTACT_ID",
        "WAITCTL_EVENT_TYPE",
    )
    """The essentials, for the environment of a command."""

    LINKS: ClassVar = "WAITCTL_TRACE_LINKS"
    """And the traces, where there are any, between blanks."""

    @property
    def essentials(self) -> tuple[str, ...]:
        """The values of `VARIABLES`, in their order."""
        wait, event = self.document["wait"], self.document["event"]
        return (
            self.delivery_id,
            str(self.document["attempt"]),
            self.document["outcome"],
            wait["id"],
            wait["workflow_execution_id"],
            wait["step_id"],
            wait["contact_id"] or "",
            event["type"] if event else "",
        )

    @property
    def trace_links(self) -> str:
        """The traces that it is to be linked to, between blanks; plain letters and digits."""
        return " ".join(self.document.get("trace_links", ()))


_UUID = pattern(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def forged(payload: Payload) -> Rejected | None:
    """Why a payload goes to no handler: an id that none of ours is like, which would end a header, or a line.

    On SQLite an id is a text, and whoever can write to the file may have made it any.
    """
    delivery_id, _, _, wait_id, *texts = payload.essentials
    if not (_UUID.fullmatch(delivery_id) and _UUID.fullmatch(wait_id)):
        return Rejected("somebody else made it: its id, or its wait's, is no UUID")
    if any(map(holds_control, texts)):
        return Rejected("somebody else made it: an id of its wait holds control characters")
    return None


def nothing() -> None:
    """For whoever need not know."""


class Handler(Protocol):
    """Takes payloads and says what became of each; several threads call at once. Must not raise.

    Making one raises `HandlerNotReadyError` when the host lacks what it needs.
    """

    @property
    def most_at_once(self) -> int:
        """Deliveries that one call takes at most."""
        ...

    @property
    def one_by_one(self) -> bool:
        """Whether a call deals with one after the other.

        Then more than one are given together only to a handler that is quick: they save it being called, and no more.
        """
        ...

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Hand payloads over and wait for what becomes of each, in their order.

        ``begun`` is called once they are with whoever takes them, or not at all when that is soon over; perhaps twice.
        """
        ...

    def stop(self, *, at_once: bool = False) -> None:
        """End what outlives its own timeout from now on, or all that can be ended: the run was told to end.

        Called while some are out; ``at_once`` perhaps after it was called without.
        """
        ...

    def close(self) -> None:
        """Let go of what was kept between payloads, once none is out."""
        ...
