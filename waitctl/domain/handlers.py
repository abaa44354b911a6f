"""What a host's config says of a handler: the code that runs when a wait ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from waitctl.domain.deliveries import RetryPolicy


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where a webhook goes, and where the secret that signs it stands: never the secret itself."""

    url: str
    secret_env: str | None = None
    secret_file: str | None = None


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """One ``[handlers.NAME]`` of the config file: what runs is ``exec``, ``webhook``, ``notify`` or ``python``."""

    name: str
    exec: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=30)
    concurrency: int = 8
    retry: RetryPolicy = RetryPolicy()
    webhook: WebhookConfig | None = None
    notify: str | None = None
    python: str | None = None
    batch: bool = False
    """Whether ``exec`` takes many deliveries in one process, which then is the only one."""


class Retry(Exception):  # noqa: N818 (no error: an answer)
    """Raised by a ``python`` handler: try later, without using up an attempt.

    ``after`` says how much later, at least a second; left out, the handler's backoff does.
    """

    def __init__(self, reason: str = "asked to be tried later", *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else max(after, timedelta(seconds=1))


class Dead(Exception):  # noqa: N818 (no error: an answer)
    """Raised by a ``python`` handler: trying again is no use. The delivery is dead at once."""
