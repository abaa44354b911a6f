"""The waits that a filter means: read them, cancel them, resume them, however many they are."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from waitctl.application import paging
from waitctl.application.id_lookup import WAIT, find_cursor, find_id
from waitctl.application.paging import in_pages
from waitctl.application.waits.results import WaitStatus
from waitctl.domain.errors import InvalidWaitConfigurationError, WaitStepError
from waitctl.domain.filters import NEWEST_FIRST, SortKey, WaitFilter, WaitOrder
from waitctl.domain.sleeping import Sleeper
from waitctl.domain.statuses import OPEN, Resolution
from waitctl.domain.text import JsonObject, check_json_object, check_reason
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import filters as store
from waitctl.infrastructure.store import waits as wait_store

WaitRows = Generator[WaitStatus, None, None]

_OLDEST_FIRST = WaitOrder(SortKey.CREATED)


@dataclass(frozen=True, slots=True)
class Ended:
    """A wait that was ended, or would be; or why it was not."""

    status: WaitStatus
    error: WaitStepError | None = None


class WaitSelection:
    """The waits that ``wanted`` means. ``actor`` is who the audit trail names."""

    def __init__(self, database: Database | str, wanted: WaitFilter, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._wanted = wanted.checked()
        self._actor = actor

    def __iter__(self) -> Iterator[WaitStatus]:
        return self.read()

    def read(self, *, order: WaitOrder = NEWEST_FIRST, limit: int | None = None, after: str | None = None) -> WaitRows:
        """The waits, ``limit`` at most, or all, beyond the wait ``after`` (its id, or a head or tail of it).

        In pages, each in a transaction of its own. In another order than by their age they are sorted once: then the
        ids of all are held meanwhile. What is given from now on is read from when this is called.
        """
        with self._database.read() as connection:
            start = self._database.clock(connection)
            find_place = find_cursor if order.key is SortKey.CREATED else find_id
            last = find_place(connection, WAIT, after) if after else None
        wanted = self._wanted.at(start)
        if order.key is SortKey.CREATED:
            return in_pages(
                lambda behind, size: self._page(wanted, behind, size, order),
                lambda status: status.wait.id,
                after=last,
                limit=limit,
            )
        return self._sorted(wanted, limit, last, order)

    def sleeping(self, *, limit: int | None = None, after: str | None = None) -> Generator[Sleeper, None, None]:
        """Those that sleep, those that wake first before the others, beyond the wait ``after``.

        They are the open ones, and ended ones whose delivery is tried again.
        """
        from waitctl.infrastructure.store.sleeping import list_sleeping

        with self._database.read() as connection:
            wanted = self._wanted.at(self._database.clock(connection))
            last = find_id(connection, WAIT, after) if after else None

        def page(behind: str | None, size: int) -> list[Sleeper]:
            with self._database.read() as connection:
                now = self._database.clock(connection)
                found = list_sleeping(connection, wanted, now=now, limit=size, after=behind)
            return [Sleeper(wait, now) for wait in found]

        return in_pages(page, lambda sleeper: sleeper.wait.id, after=last, limit=limit)

    def _page(self, wanted: WaitFilter, after: str | None, size: int, order: WaitOrder) -> list[WaitStatus]:
        with self._database.read() as connection:
            now = self._database.clock(connection)
            found = store.list_waits(connection, wanted, now=now, limit=size, after=after, order=order)
        return [WaitStatus(wait, now) for wait in found]

    def _sorted(self, wanted: WaitFilter, limit: int | None, after: str | None, order: WaitOrder) -> WaitRows:
        with self._database.read() as connection:
            now = self._database.clock(connection)
            ids = store.list_ids(connection, wanted, now=now, limit=limit, after=after, order=order)
        for start in range(0, len(ids), paging.PAGE):
            with self._database.read() as connection:
                now = self._database.clock(connection)
                page = wait_store.get_waits(connection, ids[start : start + paging.PAGE])
            yield from (WaitStatus(page[each], now) for each in ids[start : start + paging.PAGE] if each in page)

    # -- end by hand ----------------------------------------------------------------------------------------------

    def cancel(self, *, reason: str | None = None, dry_run: bool = False) -> Iterator[Ended]:
        """Cancel the open ones, a thousand in a transaction; each is yielded when that is committed.

        With ``dry_run`` nothing is written. Raises `InvalidWaitConfigurationError` when ended ones are asked for.
        """
        return self._end(Resolution.CANCELLED, reason, None, dry_run=dry_run)

    def resume(
        self, *, reason: str | None = None, data: JsonObject | None = None, dry_run: bool = False
    ) -> Iterator[Ended]:
        """Resume the open ones in the same way; what cannot be resumed, as its deadline has passed, is left and said.

        ``data`` goes to their handlers and into the audit trail.
        """
        if data is not None:
            check_json_object(data, "the data")
        return self._end(Resolution.MANUAL, reason, data, dry_run=dry_run)

    def _end(
        self, resolution: Resolution, reason: str | None, data: JsonObject | None, *, dry_run: bool
    ) -> Iterator[Ended]:
        if reason is not None:
            check_reason(reason)
        verb = "cancelled" if resolution is Resolution.CANCELLED else "resumed"
        if ended := set(self._wanted.statuses) - OPEN:
            raise InvalidWaitConfigurationError(
                f"only open waits can be {verb}, and these have ended: status {', '.join(sorted(ended))}"
            )
        with self._database.read() as connection:
            wanted = self._wanted.at(self._database.clock(connection))
        wanted = replace(wanted, statuses=wanted.statuses or tuple(sorted(OPEN)))

        def end_page(after: str | None, size: int) -> list[Ended]:
            return self._database.write(
                lambda connection: self._end_page(connection, wanted, after, size, resolution, reason, data)
            )

        def look(after: str | None, size: int) -> list[Ended]:
            page = self._page(wanted, after, size, _OLDEST_FIRST)
            return [Ended(status, _refusal(status, resolution)) for status in page]

        return in_pages(look if dry_run else end_page, lambda ended: ended.status.wait.id)

    def _end_page(
        self,
        connection: Connection,
        wanted: WaitFilter,
        after: str | None,
        size: int,
        resolution: Resolution,
        reason: str | None,
        data: JsonObject | None,
    ) -> list[Ended]:
        now = self._database.clock(connection)
        page = store.lock_page(connection, wanted, now=now, limit=size, after=after)
        results = {wait.id: Ended(WaitStatus(wait, now), _refusal(WaitStatus(wait, now), resolution)) for wait in page}
        landed = completion.end_waits(
            connection,
            [wait_id for wait_id, ended in results.items() if ended.error is None],
            resolution,
            now=now,
            reason=self._database.dated(reason or resolution.value),
            actor=self._actor,
            data=data,
        )
        ended = wait_store.get_waits(connection, sorted(landed))
        results |= {wait_id: Ended(WaitStatus(wait, now)) for wait_id, wait in ended.items()}
        return list(results.values())


def _refusal(status: WaitStatus, resolution: Resolution) -> WaitStepError | None:
    """Why an open wait may not end so."""
    if resolution is Resolution.MANUAL:
        try:
            status.wait.check_listening(status.now)
        except WaitStepError as error:
            return error
    return None
