"""Where commands that waits bring along may be stored and run, and which of them this user has made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from waitctl.domain.errors import InlineCommandsNotAllowedError, MissingCredentialError, UnsafeFileError
from waitctl.domain.handlers import INLINE, InlineCommand
from waitctl.infrastructure.inline_key import WHAT, InlineKey, default_path, make_key, read_key

if TYPE_CHECKING:
    from waitctl.domain.deliveries import Backlog
    from waitctl.domain.waits import WaitSpec, WaitStepExecution
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection, Database

NOT_OURS: Final = "inline command not made by this user"

_MOST = 10_000
"""Deliveries that are looked at for what is not ours."""

_HOW_TO_MAKE = "umask 077; head -c 32 /dev/urandom | base64 >"


class InlineCommands:
    """The commands of waits on one database: what this host's user may store, and what a tick of this user may run.

    The database carries data, the host carries code. So an SQLite database with commands must be nobody else's to
    write, one on a server needs the config's consent; and what runs is what the user's key, which is in no database,
    has signed. Files are looked at each time.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def check(self) -> None:
        """Check that commands may be stored in this database, and run from it, on this host.

        Raises `UnsafeFileError`, `InlineCommandsNotAllowedError` or `MissingCredentialError`.
        """
        if self._database.is_sqlite:
            self._database.check_private()
        else:
            self._check_opted_in()
        self._key()

    def why_refused(self) -> str | None:
        """Why they may not be run, in words; ``None`` when they may."""
        try:
            self.check()
        except (UnsafeFileError, InlineCommandsNotAllowedError, MissingCredentialError) as error:
            return error.message
        return None

    def _check_opted_in(self) -> None:
        name = self._database.name
        if not self._settings.allow_inline_commands:
            raise InlineCommandsNotAllowedError(
                f"no inline commands on {name}: who can write to it could run any command",
                hint="name a handler of the config file with --handler, or set allow_inline_commands = true "
                "and an inline_key_file there",
            )
        if self._settings.inline_key_file is None:
            raise InlineCommandsNotAllowedError(
                f"no inline commands on {name} without an inline_key_file in the config file",
                hint=f"{_HOW_TO_MAKE} inline.key, and name it there, on every host that is to run them",
            )

    # -- signing --------------------------------------------------------------------------------------------------

    def checked(self, spec: WaitSpec, *, dry_run: bool = False) -> WaitSpec:
        """Return this spec when its command, if it has one, may be stored; make the user's key when there is none.

        Raises what `check` raises.
        """
        if spec.command is not None:
            self.check()
            if not dry_run:
                self._make_key()
        return spec

    def _make_key(self) -> None:
        if self._settings.inline_key_file is None and self._key() is None:
            make_key(default_path())

    def key_to_sign(self) -> InlineKey:
        """The key that vouches for commands which are to be stored; it is made when there is none.

        Raises what `check` raises.
        """
        self.check()
        self._make_key()
        key = self._key()
        assert key is not None
        return key

    def key_to_verify(self) -> InlineKey | None:
        """The key of the commands that may run from this database; ``None`` when none may."""
        return self._usable_key() if self.why_refused() is None else None

    def sign(self, wait: WaitStepExecution) -> str | None:
        """The signature of a wait's command, if it has one. Raises `MissingCredentialError` and `UnsafeFileError`."""
        command = InlineCommand.from_json(wait.command)
        if command is None:
            return None
        key = self._key()
        if key is None:
            raise MissingCredentialError(f"{WHAT} is gone: {default_path()}", hint="run it again")
        return key.sign(wait.id, command)

    def _key(self) -> InlineKey | None:
        """The key; ``None`` when this user has none yet."""
        named = self._settings.inline_key_file
        key = read_key(default_path() if named is None else named)
        if key is None and named is not None:
            raise MissingCredentialError(f"there is no {named}: {WHAT}", hint=f"{_HOW_TO_MAKE} {named}")
        return key

    def _usable_key(self) -> InlineKey | None:
        try:
            return self._key()
        except (UnsafeFileError, MissingCredentialError):
            return None

    # -- verifying ------------------------------------------------------------------------------------------------

    def not_ours(self, connection: Connection, room: int) -> list[str]:
        """Deliveries, due now, that ``room`` or fewer of ours stand behind: their commands are not this user's."""
        from waitctl.infrastructure.store import deliveries as store

        now, key = self._database.clock(connection), self._usable_key()
        limit = room
        while True:
            found = store.inline_commands(connection, limit=limit, now=now)
            others = [delivery_id for delivery_id, *made in found if not _verifies(key, *made)]
            if len(found) < limit or len(found) - len(others) >= room or limit >= _MOST:
                return others
            limit = min(4 * limit, _MOST)

    def count_held(self, connection: Connection, handlers: Collection[str]) -> int:
        """How many deliveries wait: for other handlers, for a pause to end, or for the user who made their command."""
        from waitctl.infrastructure.store import deliveries as store
        from waitctl.infrastructure.store import pauses

        held = store.count_held(connection, handlers)
        paused = pauses.paused(connection)
        if INLINE not in handlers or paused.everything or INLINE in paused.handlers:
            return held
        return held + self.count_not_ours(connection)

    def count_held_of(self, connection: Connection, handlers: Collection[str], found: Sequence[Backlog]) -> int:
        """`count_held` up to the cap, from the backlogs of all handlers."""
        from waitctl.infrastructure.store import overview, pauses

        held = overview.count_held_up_to_cap(connection, handlers, found)
        paused = pauses.paused(connection)
        none_waits = not any(each.handler == INLINE and each.pending + each.running for each in found)
        if none_waits or INLINE not in handlers or paused.everything or INLINE in paused.handlers:
            return held
        return held + self.count_not_ours(connection)

    def count_not_ours(self, connection: Connection) -> int:
        """How many deliveries are not through whose commands are not this user's; 10,000 are looked at."""
        from waitctl.infrastructure.store import deliveries as store

        found = store.inline_commands(connection, limit=_MOST)
        key = self._usable_key() if found else None
        return sum(not _verifies(key, *made) for _, *made in found)

    def verifies(self, wait_id: str, command: object, signature: str | None) -> bool:
        """Whether this user has made that command for that wait, and it may be run now."""
        return self.why_refused() is None and _verifies(self._usable_key(), wait_id, command, signature)


def _verifies(key: InlineKey | None, wait_id: str, command: object, signature: str | None) -> bool:
    made = InlineCommand.from_json(command)
    return key is not None and made is not None and signature is not None and key.verifies(wait_id, made, signature)
