"""What takes a delivery: one Protocol, an implementation each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from waitctl.domain.deliveries import HandlerResult


class HandlerNotReadyError(Exception):
    """This host cannot use the handler as it is: a secret is missing, say. Its deliveries are held."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery on its way out: the JSON for its handler, and the same in environment variables."""

    delivery_id: str
    body: bytes
    environment: Mapping[str, str]


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
