"""Who may do what over HTTP: the ``[serve]`` section of the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.values import dataclass
from waitctl.infrastructure.secrets import read_secrets

MAX_TICK_AGE = timedelta(minutes=3)
"""How long no tick may have run before the health check says so."""

MAX_REQUESTS = 256
"""Requests in flight before others are told to come back later."""

SHORTEST_TOKEN = 16
"""Characters of a token, at least: nobody counts how often one is guessed."""


class Scope(StrEnum):
    """What a token is good for."""

    EVENTS = "events"
    """recording events"""
    READ = "read"
    """looking at everything: the dashboard, waits, metrics"""
    WRITE = "write"
    """creating, cancelling and resuming waits, retrying deliveries"""


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """One ``[serve.tokens.NAME]``: names of secrets, never the secrets; several while they rotate."""

    name: str
    token_env: tuple[str, ...] = ()
    token_file: tuple[str, ...] = ()
    scopes: frozenset[Scope] = frozenset()
    folder: Path | None = None

    def values(self, environ: Mapping[str, str] | None = None) -> list[str]:
        """The tokens themselves.

        Raises `MissingCredentialError`, naming the variable or file without one, `UnsafeFileError`, and
        `InvalidSettingError` for one that could be guessed.
        """
        files = [(self.folder or Path()) / name for name in self.token_file]
        tokens = read_secrets(self.token_env, files, f"serve.tokens.{self.name}'s", environ)
        if any(len(token) < SHORTEST_TOKEN for token in tokens):
            raise InvalidSettingError(
                f"serve.tokens.{self.name}: a token has {SHORTEST_TOKEN} characters at least",
                hint="openssl rand -base64 32 makes one",
            )
        return tokens


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The ``[serve]`` section. ``hosts``: the names under which it may be asked for, beside those of this machine.

    ``max_requests``: how many may be in flight at once. ``root_path``: the path that a proxy takes away.
    """

    tokens: Mapping[str, TokenConfig] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    max_tick_age: timedelta = MAX_TICK_AGE
    max_requests: int = MAX_REQUESTS
    root_path: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
