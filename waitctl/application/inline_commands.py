"""Where commands that waits bring along may be stored and run."""

from __future__ import annotations

from waitctl.domain.errors import InlineCommandsNotAllowedError
from waitctl.domain.waits import WaitSpec
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database


def allows_inline(settings: Settings, database: Database) -> bool:
    """Whether commands that stand in the database may run on this host.

    Who can write to the database can run them. So by default only where that is this user alone: the database carries
    data, the host's config carries code.
    """
    return settings.allow_inline_commands or database.is_private


def check_inline(spec: WaitSpec, settings: Settings, database: Database) -> WaitSpec:
    """Return this spec when its command, if it has one, may run here.

    Raises `InlineCommandsNotAllowedError`.
    """
    if spec.command is not None and not allows_inline(settings, database):
        raise InlineCommandsNotAllowedError(
            f"no inline commands on {database.name}: who can write to it could run any command",
            hint="name a handler of the config file with --handler, or set allow_inline_commands = true there",
        )
    return spec
