"""From a handler's config to the handler: the one place that knows every kind."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from waitctl.application.inline_commands import NOT_OURS, InlineCommands
from waitctl.domain.errors import MissingCredentialError, UnsafeFileError
from waitctl.domain.handlers import (
    INLINE,
    ExecConfig,
    HandlerConfig,
    InlineConfig,
    NotifyConfig,
    PythonConfig,
    WebhookConfig,
)
from waitctl.domain.instants import format_instant
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database, host_clock
from waitctl.infrastructure.secrets import read_secrets

if TYPE_CHECKING:
    from waitctl.domain.pauses import Paused
    from waitctl.infrastructure.handlers import Handler


def handlers_of(settings: Settings, database: Database) -> list[HandlerConfig]:
    """The handlers that this host may use on this database."""
    configs = configured_handlers(settings)
    return configs if InlineCommands(settings, database).why_refused() is None else configs[:-1]


def configured_handlers(settings: Settings) -> list[HandlerConfig]:
    """The handlers of this host's config, and last the one of inline commands, which may be refused."""
    return [*(config for config in settings.handlers.values() if config.name != INLINE), settings.inline]


def why_held(handler: str, paused: Paused, usable: Collection[str], inline: InlineCommands) -> str:
    """Why deliveries to a handler are held, in words."""
    if paused.everything or handler in paused.handlers:
        return "they are paused"
    if handler not in usable:
        if handler == INLINE:
            return inline.why_refused() or NOT_OURS
        return "this host's config does not know it"
    return f"workflows are paused: {', '.join(sorted(paused.workflows))}"


def make_handler(config: HandlerConfig, settings: Settings, database: Database) -> Handler:
    """The handler that a config describes; each kind is loaded when it is first used.

    Raises `HandlerNotReadyError` when this host lacks what it needs.
    """
    match config.target:
        case ExecConfig(argv=argv, batch=batch):
            from waitctl.infrastructure.handlers.exec import ExecHandler

            return ExecHandler(argv, config.timeout, _environment(config, settings, database), batch=batch)
        case InlineConfig():
            from waitctl.infrastructure.handlers.exec import InlineHandler

            inline = InlineCommands(settings, database)
            return InlineHandler(config.timeout, _environment(config, settings, database), inline.verifies, NOT_OURS)
        case WebhookConfig(url=url) as webhook:
            from waitctl.infrastructure.handlers.webhook import WebhookHandler

            return WebhookHandler(url, config.timeout, host_clock, _secret(webhook))
        case NotifyConfig(channel=channel):
            return _notify_handler(channel, database)
        case PythonConfig(function=function, own_process=False):
            from waitctl.infrastructure.handlers.functions import FunctionHandler

            return FunctionHandler(function, config.timeout)
        case PythonConfig(function=function):
            from waitctl.infrastructure.handlers.python import PythonHandler

            return PythonHandler(function, config.timeout)


def _notify_handler(channel: str, database: Database) -> Handler:
    from waitctl.infrastructure.handlers import HandlerNotReadyError
    from waitctl.infrastructure.store import deliveries as store

    if database.is_sqlite:
        raise HandlerNotReadyError("NOTIFY needs PostgreSQL, and this database is SQLite")
    from waitctl.infrastructure.handlers.notify import NotifyHandler

    return NotifyHandler(
        lambda payload: database.write(partial(store.send_notification, channel=channel, payload=payload)),
    )


def _environment(config: HandlerConfig, settings: Settings, database: Database) -> dict[str, str]:
    """What a command inherits: of the tick's variables, and of those that its own `waitctl` finds the database by."""
    environment = os.environ | _address(settings, database)
    return {name: value for name, value in environment.items() if config.inheritance.includes(name)}


def _address(settings: Settings, database: Database) -> dict[str, str]:
    environment = {"WAITCTL_DATABASE_URL": database.resolved_url}
    if settings.config_file is not None:
        environment["WAITCTL_CONFIG"] = str(settings.config_file)
    if database.as_of is not None:
        environment["WAITCTL_AS_OF"] = format_instant(database.as_of)
    return environment


def _secret(webhook: WebhookConfig) -> str | None:
    """What signs, read anew by every tick; ``None`` when the config names nothing."""
    from waitctl.infrastructure.handlers import HandlerNotReadyError

    variables = [webhook.secret_env] if webhook.secret_env else []
    files = [Path(webhook.secret_file)] if webhook.secret_file else []
    try:
        return " ".join(read_secrets(variables, files, "its")) or None
    except (MissingCredentialError, UnsafeFileError) as error:
        raise HandlerNotReadyError(error.message) from error
