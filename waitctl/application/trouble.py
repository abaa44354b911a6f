"""What whoever stays says of a database that cannot be used for a while."""

from __future__ import annotations

from collections.abc import Callable

from waitctl.domain.errors import DatabaseError, SchemaTooNewError

WELL_AGAIN = "the database is well again"


def heals(error: DatabaseError) -> bool:
    """Whether it may pass without this process: all but a database that only a newer waitctl can read."""
    return not isinstance(error, SchemaTooNewError)


class Trouble:
    """Says once what is wrong, each kind of it, and once that it is over."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[type[DatabaseError]] = set()

    def met(self, error: DatabaseError) -> None:
        """There it is."""
        if type(error) not in self._said:
            self._said.add(type(error))
            self._say(f"{error.message}: trying again" + (f" ({error.hint})" if error.hint else ""))

    def over(self) -> None:
        """It is gone, if it was there."""
        if self._said:
            self._said.clear()
            self._say(WELL_AGAIN)
