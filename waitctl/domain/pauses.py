"""Pauses: outcomes go on being decided, deliveries are held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from waitctl.domain.values import dataclass


class PauseKind(StrEnum):
    """What is paused."""

    ALL = "all"
    HANDLER = "handler"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause: by whom, since when and why. ``name`` is empty when everything is paused."""

    kind: PauseKind
    name: str
    reason: str | None
    actor: str
    paused_at: datetime


@dataclass(frozen=True, slots=True)
class Paused:
    """What the pauses hold."""

    everything: bool = False
    handlers: frozenset[str] = frozenset()
    workflows: frozenset[str] = frozenset()

    @classmethod
    def of(cls, pauses: Sequence[Pause]) -> Paused:
        """All of these together."""

        def names(kind: PauseKind) -> frozenset[str]:
            return frozenset(pause.name for pause in pauses if pause.kind is kind)

        return cls(bool(names(PauseKind.ALL)), names(PauseKind.HANDLER), names(PauseKind.WORKFLOW))
