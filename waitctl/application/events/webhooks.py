"""Webhooks: verified over their raw bytes, mapped, stored and correlated at once; what fails is kept apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from functools import lru_cache, partial

from waitctl.application import inbox
from waitctl.application.documents import event_document, instant
from waitctl.application.events.ndjson import unverified
from waitctl.application.events.recording import EventService, make_event
from waitctl.application.events.results import IngestTotals, Stored
from waitctl.application.id_lookup import QUARANTINED, find_cursor, find_id, get_by_id
from waitctl.application.quarantine import keep
from waitctl.domain.errors import (
    InvalidEventError,
    InvalidInputError,
    InvalidSettingError,
    InvalidSignatureError,
    InvalidSourceError,
    MissingCredentialError,
    MissingLibraryError,
    WaitStepError,
)
from waitctl.domain.events import Event, check_registered
from waitctl.domain.quarantine import MAX_KEPT, Quarantined, kept_headers, kept_url
from waitctl.domain.text import JsonObject, check_json_object, parse_json, storable
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.config import Settings, SourceConfig
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.providers import ContactPath, Mapped, Once, Provider, Request, provider
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import quarantine as store
from waitctl.infrastructure.store import tokens
from waitctl.infrastructure.store.correlation.loads import write_in_halves

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request: more than any provider sends at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused, and why. ``quarantine_id``: where it is kept, None on a dry run."""

    error: WaitStepError
    quarantine_id: str | None


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """What became of a webhook.

    ``recorded``: on a dry run, the events that would be. ``has_listeners``: whether anything waits for such as them.
    """

    totals: IngestTotals
    verified: bool
    ignored_types: Mapping[str, int] = field(default_factory=dict)
    refusals: Sequence[Refusal] = ()
    recorded: Sequence[JsonObject] | None = None
    has_listeners: bool = True

    def to_json(self) -> JsonObject:
        """The document of `waitctl event ingest --format`, and of a replay."""
        kept = [each.quarantine_id for each in self.refusals if each.quarantine_id]
        document = self.totals.to_json() | {
            "verified": self.verified,
            "ignored_types": dict(self.ignored_types),
            "quarantined": kept,
        }
        return document if self.recorded is None else document | {"events": list(self.recorded)}


@dataclass(slots=True)
class _Judged:
    """What a request turned out to be. ``refused``: all of it, and why."""

    received: int = 1
    events: list[Event] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[WaitStepError, bytes]] = field(default_factory=list)
    once: list[Once] = field(default_factory=list)
    verified: bool = False
    refused: WaitStepError | None = None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A request of several that are stored together."""

    request: Request
    webhook: Webhook
    judged: _Judged


class Webhook:
    """A sender and the format of its webhooks, as a host's config has them.

    Raises `InvalidSettingError`, also for what can be no secret of the format, `MissingLibraryError`, and
    `MissingCredentialError` where nothing says who sent it, unless that is wanted.
    """

    def __init__(self, settings: Settings, format_: str, source: str | None = None, *, verify: bool = True) -> None:
        self.source = source or format_
        self.config = settings.sources.get(self.source) or SourceConfig(self.source)
        self.provider: Provider = provider(format_)
        if self.config.format not in {None, format_} and verify and self.config.has_secret:
            raise InvalidSettingError(
                f"[sources.{self.source}] is verified as {self.config.format}, not as {format_}",
                hint="give --no-verify to take it unverified",
            )
        if verify and self.provider.always_signed and self.config.verify and not self.config.has_secret:
            raise MissingCredentialError(
                f"[sources.{self.source}] has no secret: anybody could have sent this",
                hint="give it secret_env or secret_file; --no-verify takes one unverified, verify = false all",
            )
        if self.config.tolerance is not None and self.provider.tolerance is None:
            raise InvalidSettingError(f"sources.{self.source}.tolerance: {format_} signs no instant")
        try:
            self._path = ContactPath.parse(self.config.contact) if self.config.contact else None
        except InvalidSettingError as error:
            raise InvalidSettingError(f"sources.{self.source}.contact: {error.message}", hint=error.hint) from error
        self.reads = lru_cache(1024)(self.provider.reads)
        # Read before anything else is done: without them nothing may come in.
        self._secrets = self.config.secrets() if verify and self.config.has_secret else None
        for secret in self._secrets or ():
            self.provider.check_secret(secret)
        self._tolerance = self.config.tolerance or self.provider.tolerance or timedelta()
        self._others = settings.verified_sources - {self.source}

    @property
    def verifies(self) -> bool:
        """Whether it has a secret to verify with."""
        return self._secrets is not None

    def judge(self, request: Request, registered: set[str], now: datetime, *, verified: bool = False) -> _Judged:
        """Verify as of ``now``, map and validate; pure.

        Raises what the caller has to put right: `MissingCredentialError`, `InvalidSettingError`, `MissingLibraryError`,
        and `InvalidSourceError` for a single event that names a source which others sign.
        """
        judged = _Judged(verified=verified)
        request = self.provider.own_part(request)
        try:
            if len(request.body) > MAX_BODY:
                raise InvalidEventError(f"the body is longer than {MAX_BODY:,} bytes")
            if request.repeated:
                raise InvalidEventError(f"the header {min(request.repeated)} came more than once")
            if self._secrets is not None and not verified:
                self.provider.verify(request, self._secrets, now, self._tolerance)
                judged.verified = True
            found = self.provider.parse(request, self._path)
        except (MissingCredentialError, InvalidSettingError, MissingLibraryError):
            raise
        except (InvalidInputError, InvalidSignatureError) as error:
            judged.refused = error
            return judged
        judged.received = len(found)
        judged.once = [mapped.once for mapped in found if mapped.once] if judged.verified else []
        for mapped in found:
            self._judge_event(judged, request, mapped, registered)
        return judged

    def _judge_event(self, judged: _Judged, request: Request, mapped: Mapped, registered: set[str]) -> None:
        try:
            if mapped.problem is not None:
                raise mapped.problem
            if mapped.event_type not in registered:
                judged.ignored[storable(mapped.event_type[:100])] += 1
                return
            if mapped.named_source in self._others:
                raise unverified(mapped.named_source)
            judged.events.append(self._event(mapped))
        except InvalidInputError as error:
            if isinstance(error, InvalidSourceError) and mapped.part is None:
                raise
            judged.rejected.append((error, _part(mapped, request)))

    def _event(self, mapped: Mapped) -> Event:
        if mapped.contact is None:
            raise InvalidEventError(
                f"the {mapped.event_type} names no contact",
                hint=f'say where it stands: contact = "…" under [sources.{self.source}]',
            )
        return make_event(
            mapped.event_type,
            mapped.contact,
            data=mapped.data,
            external_id=mapped.external_id,
            source=self.source,
            occurred_at=mapped.occurred_at,
            expires_at=mapped.expires_at,
        )


def _part(mapped: Mapped, request: Request) -> bytes:
    """What to keep of a batch for the sake of one of its events: a batch of that one."""
    if mapped.part is None:
        return request.body
    if isinstance(mapped.part, bytes):
        return mapped.part
    return json.dumps([mapped.part]).encode()


class WebhookService:
    """Takes webhooks in, and tries those again that were refused."""

    def __init__(self, database: Database, settings: Settings, *, actor: str = "api") -> None:
        self._database = database
        self._settings = settings
        self._events = EventService(database, actor=actor, settings=settings)

    def ingest(self, request: Request, webhook: Webhook, *, dry_run: bool = False) -> WebhookResult:
        """Record the events of a request and resume what they match; what is refused goes to the quarantine.

        All of it in one transaction. Raises, and keeps nothing, when a header, a secret or a setting is missing.
        """
        with self._database.read() as connection:
            now = self._database.clock(connection)
            registered = event_store.registered_types(connection)
        request, judged = self._judge(request, webhook, registered, now)

        def work(connection: Connection) -> WebhookResult:
            taken = self._let_through_once(connection, webhook, judged, now)
            kept = self._to_keep(request, webhook, taken, now)
            keep(connection, kept, webhook.config)
            return _result(taken, self._events.store(connection, taken.events), kept, dry_run=dry_run)

        return self._database.write(work, rollback=dry_run)

    def ingest_together(self, arrived: Sequence[tuple[Request, Webhook]]) -> list[WebhookResult | WaitStepError]:
        """Do what `ingest` does with several requests, in as few transactions as their events allow.

        Says what became of each, in their order; for one that `ingest` would raise for, what it would raise.
        """

        def work(own: Connection, part: Sequence[tuple[Request, Webhook]]) -> list[WebhookResult | WaitStepError]:
            now, registered = self._database.clock(own), event_store.registered_types(own)
            judged = [self._judge_or_error(request, webhook, registered, now) for request, webhook in part]
            return self._store_together(own, judged, registered, now)

        def is_news(results: Sequence[WebhookResult | WaitStepError]) -> bool:
            return any(isinstance(each, WebhookResult) and each.has_listeners for each in results)

        return write_in_halves(self._database, work, arrived, is_news)

    def _judge_or_error(
        self, request: Request, webhook: Webhook, registered: set[str], now: datetime
    ) -> _Arrived | WaitStepError:
        try:
            request, judged = self._judge(request, webhook, registered, now)
        except WaitStepError as error:
            return error
        return _Arrived(request, webhook, judged)

    def _store_together(
        self,
        connection: Connection,
        judged: Sequence[_Arrived | WaitStepError],
        registered: set[str],
        now: datetime,
    ) -> list[WebhookResult | WaitStepError]:
        kept = dict[str, tuple[SourceConfig, list[Quarantined]]]()
        taken: list[tuple[_Judged, list[Quarantined]] | WaitStepError] = []
        for each in judged:
            if isinstance(each, WaitStepError):
                taken.append(each)
                continue
            let_through = self._let_through_once(connection, each.webhook, each.judged, now)
            rows = self._to_keep(each.request, each.webhook, let_through, now)
            if rows:
                kept.setdefault(each.webhook.source, (each.webhook.config, []))[1].extend(rows)
            taken.append((let_through, rows))
        for config, rows in kept.values():
            keep(connection, rows, config)
        events = [event for each in taken if not isinstance(each, WaitStepError) for event in each[0].events]
        stored = self._events.store(connection, events, registered, divisible=len(judged) > 1)
        share = _shares(stored)
        return [
            each if isinstance(each, WaitStepError) else _result(each[0], share(each[0].events), each[1], dry_run=False)
            for each in taken
        ]

    @staticmethod
    def _judge(request: Request, webhook: Webhook, registered: set[str], now: datetime) -> tuple[Request, _Judged]:
        if request.url is None and webhook.config.url is not None:
            request = replace(request, url=webhook.config.url)
        return request, webhook.judge(request, registered, now)

    def _let_through_once(self, connection: Connection, webhook: Webhook, judged: _Judged, now: datetime) -> _Judged:
        """Remember the one-time tokens; what comes under a known one with other content is refused."""
        for once in judged.once:
            if not tokens.remember_token(connection, webhook.source, once.token, once.content, now=now):
                return _Judged(refused=InvalidSignatureError("its one-time token came before, with other content"))
        return judged

    def _to_keep(self, request: Request, webhook: Webhook, judged: _Judged, now: datetime) -> list[Quarantined]:
        refused = [(judged.refused, request.body)] if judged.refused else judged.rejected
        return [
            Quarantined(
                id=new_id(),
                source=webhook.source,
                format=webhook.provider.name,
                code=error.code,
                message=storable(error.message),
                headers=kept_headers(webhook.provider.own_part(request).headers),
                # Only a signature over the URL has use for it; elsewhere its query may hold a credential.
                url=kept_url(request.url) if webhook.provider.signs_url else None,
                body=body[:MAX_KEPT],
                size=len(body),
                verified=judged.verified,
                received_at=now,
            )
            for error, body in refused
        ]

    # -- the quarantine -------------------------------------------------------------------------------------------

    def list_quarantined(
        self, *, source: str | None = None, limit: int = 50, after: str | None = None
    ) -> list[Quarantined]:
        """What was refused, newest first, without the bodies, older than the payload ``after``."""
        with self._database.read() as connection:
            last = find_cursor(connection, QUARANTINED, after) if after else None
            return store.list_quarantined(connection, source=source, limit=limit, after=last)

    def quarantined_ids(self, *, source: str | None = None) -> list[str]:
        """The ids of all that was refused, in the order in which it came."""
        with self._database.read() as connection:
            return store.quarantined_ids(connection, source=source)

    def get_quarantined(self, quarantine_id: str) -> Quarantined:
        """What was refused under this id, or under its head or tail of at least 8 digits.

        Raises `QuarantineNotFoundError` or `AmbiguousIdError`.
        """
        with self._database.read() as connection:
            return get_by_id(connection, QUARANTINED, quarantine_id, store.get_quarantined)

    def drop(self, quarantine_id: str) -> str:
        """Forget what was refused; returns its id. Raises `QuarantineNotFoundError` or `AmbiguousIdError`."""

        def work(connection: Connection) -> str:
            found = find_id(connection, QUARANTINED, quarantine_id)
            if not store.delete_quarantined(connection, found):
                raise QUARANTINED.not_found(quarantine_id)
            return found

        return self._database.write(work)

    def replay(self, quarantine_id: str, *, verify: bool = True) -> tuple[str, WebhookResult]:
        """Take in again what was refused: verified as of when it came, unless its signature was good then.

        What is taken in leaves the quarantine, what is refused again stays. Returns the id and what became of it.
        Raises `QuarantineNotFoundError`, `AmbiguousIdError`, `PayloadCutError`, and what `ingest` raises.
        """
        return self._database.write(partial(self._replay, quarantine_id=quarantine_id, verify=verify))

    def _replay(self, connection: Connection, *, quarantine_id: str, verify: bool) -> tuple[str, WebhookResult]:
        row = get_by_id(connection, QUARANTINED, quarantine_id, partial(store.get_quarantined, lock=True))
        row.require_whole()
        if row.format == inbox.FORMAT:
            return row.id, self._take_in(connection, row, _judge_row(row, event_store.registered_types(connection)))
        webhook = Webhook(self._settings, row.format, row.source, verify=verify and not row.verified)
        if verify and row.code == InvalidSignatureError.code and webhook.config.verify and not webhook.verifies:
            raise MissingCredentialError(f"it failed its signature, and [sources.{row.source}] has no secret any more")
        request = Request.of(row.body, row.headers, _url_of(row, webhook.config.url))
        now = self._database.clock(connection)
        registered = event_store.registered_types(connection)
        judged = webhook.judge(request, registered, row.received_at, verified=row.verified)
        judged = self._let_through_once(connection, webhook, judged, now)
        kept = self._to_keep(request, webhook, judged, row.received_at)
        return row.id, self._take_in(connection, row, judged, kept, webhook.config)

    def _take_in(
        self,
        connection: Connection,
        row: Quarantined,
        judged: _Judged,
        kept: Sequence[Quarantined] = (),
        config: SourceConfig | None = None,
    ) -> WebhookResult:
        """Record what was good of a payload, which leaves the quarantine then; ``kept``: what was not."""
        nothing_good = judged.rejected and len(judged.rejected) == judged.received
        again = judged.refused or (judged.rejected[0][0] if nothing_good else None)
        if again is not None:
            now = self._database.clock(connection)
            store.refuse_again(connection, row.id, code=again.code, message=storable(again.message), now=now)
            return _result(judged, Stored(set(), [], []), [replace(row, code=again.code)], dry_run=False)
        keep(connection, kept, config or SourceConfig(row.source))
        stored = self._events.store(connection, judged.events)
        store.delete_quarantined(connection, row.id)
        return _result(judged, stored, kept, dry_run=False)


def _judge_row(row: Quarantined, registered: set[str]) -> _Judged:
    """A row of the inbox table again, by the rules of every other door."""
    judged = _Judged()
    try:
        fields = check_json_object(parse_json(row.body, "the row", error=InvalidEventError), "the row", limit=MAX_KEPT)
        check_registered(fields["type"], registered)
        event = make_event(
            fields["type"],
            fields["contact"],
            data=fields["data"],
            external_id=fields["id"],
            source=fields["source"],
            occurred_at=inbox.read_instant(fields["at"]) if fields["at"] else None,
        )
    except InvalidInputError as error:
        judged.refused = error
    else:
        judged.events.append(event)
    return judged


def _url_of(row: Quarantined, configured: str | None) -> str | None:
    """The URL that was signed: what is kept of it lacks the user and password, which the config may know."""
    return configured if row.url is None or row.url == kept_url(configured) else row.url


def _result(judged: _Judged, stored: Stored, kept: Sequence[Quarantined], *, dry_run: bool) -> WebhookResult:
    errors = [judged.refused] if judged.refused else [error for error, _ in judged.rejected]
    ignored = judged.ignored
    if stored.refused:  # types that were removed a moment ago
        ignored = ignored + Counter(event.event_type for event, _ in stored.refused)
    new = [event for event in judged.events if event.id in stored.new]
    totals = IngestTotals(
        received=judged.received,
        recorded=len(new),
        duplicates=len(judged.events) - len(stored.refused) - len(new),
        ignored=ignored.total(),
        rejected=len(errors),
        matched=len(stored.matched),
        without_id=sum(event.external_id is None for event in new),
    )
    ids = [None] * len(errors) if dry_run else [row.id for row in kept]
    return WebhookResult(
        totals,
        judged.verified,
        dict(ignored.most_common()),
        [Refusal(error, quarantine_id) for error, quarantine_id in zip(errors, ids, strict=False)],
        _would_record(new, stored) if dry_run else None,
        has_listeners=stored.has_listeners,
    )


def _shares(stored: Stored) -> Callable[[Sequence[Event]], Stored]:
    """What became of some of the events that were stored together."""
    matched = dict[str, list[tuple[str, str]]]()
    for pair in stored.matched:
        matched.setdefault(pair[0], []).append(pair)

    def share(events: Sequence[Event]) -> Stored:
        ids = {event.id for event in events}
        return Stored(
            ids & stored.new,
            [pair for event in events for pair in matched.get(event.id, ())],
            [(row, error) for row, error in stored.refused if row.id in ids],
            has_listeners=stored.has_listeners,
        )

    return share


def _would_record(new: Sequence[Event], stored: Stored) -> list[JsonObject]:
    matched: dict[str, list[str]] = {}
    for event_id, wait_id in stored.matched:
        matched.setdefault(event_id, []).append(wait_id)
    return [
        event_document(replace(event, matched=tuple(matched.get(event.id, ()))))
        | {"expires_at": instant(event.expires_at)}
        for event in new
    ]
