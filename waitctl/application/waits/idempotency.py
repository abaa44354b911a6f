"""The same create again finds the wait that it made; another one is told what stands in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waitctl.application.waits.results import WaitCreateResult
from waitctl.domain.errors import IdempotencyKeyConflictError, WaitAlreadyOpenError
from waitctl.domain.values import replace
from waitctl.infrastructure.store import waits as store

if TYPE_CHECKING:
    from waitctl.domain.waits import WaitStepExecution
    from waitctl.infrastructure.database import Connection


def find_existing(connection: Connection, wait: WaitStepExecution) -> WaitStepExecution | None:
    """The wait that stands in ``wait``'s way: the one with its key, else the open one of its step."""
    if wait.idempotency_key is not None:
        keyed = store.find_wait_by_key(connection, wait.workflow_id, wait.idempotency_key)
        if keyed is not None:
            return keyed
    return store.find_open_wait(connection, wait.workflow_execution_id, wait.step_id)


def find_pruned(connection: Connection, wait: WaitStepExecution) -> WaitStepExecution | None:
    """The wait that had ``wait``'s key and is pruned: what was asked is known, what became of it is kept.

    Raises `IdempotencyKeyConflictError` when it was asked for differently.
    """
    if wait.idempotency_key is None:
        return None
    tombstone = store.find_tombstone(connection, wait.workflow_id, wait.idempotency_key)
    if tombstone is None:
        return None
    if tombstone.fingerprint != wait.fingerprint:
        raise IdempotencyKeyConflictError(
            f"the key {wait.idempotency_key!r} belongs to the pruned wait {tombstone.wait_id}, "
            "which was asked for differently"
        )
    return replace(
        wait,
        id=tombstone.wait_id,
        status=tombstone.resolution.status,
        resolution=tombstone.resolution,
        resolved_at=tombstone.resolved_at,
    )


def may_replace(existing: WaitStepExecution, wait: WaitStepExecution) -> bool:
    """Whether ``--replace`` may cancel ``existing`` for ``wait``."""
    keyed = existing.idempotency_key is not None and existing.idempotency_key == wait.idempotency_key
    return existing.status.is_open and not keyed and existing.fingerprint != wait.fingerprint


def same_wait(existing: WaitStepExecution, wait: WaitStepExecution, explanation: tuple[str, ...]) -> WaitCreateResult:
    """The wait that is there, when it was asked for as ``wait`` is.

    Raises `IdempotencyKeyConflictError` or `WaitAlreadyOpenError` when it was not.
    """
    if existing.fingerprint == wait.fingerprint:
        return WaitCreateResult(existing, created=False, explanation=explanation)
    if wait.idempotency_key is not None and existing.idempotency_key == wait.idempotency_key:
        raise IdempotencyKeyConflictError(
            f"the key {wait.idempotency_key!r} belongs to wait {existing.id}, which was asked for differently"
        )
    raise WaitAlreadyOpenError(
        f"execution {wait.workflow_execution_id!r}, step {wait.step_id!r} has another open wait: {existing.id}",
        hint="--replace cancels it first; or give this wait another --step",
    )
