"""What a new version of a template means for the open waits that are late-bound to it: they follow at once.

What an edit changes is what moves: a wait whose new version says the same about time keeps its instant, whatever
somebody has set by hand; one whose version says another handler gets that. No wait becomes due by an edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from waitctl.application.calendars.opening_rules import with_zone_rules
from waitctl.application.contacts import ContactZones, zone_today
from waitctl.application.documents import instant
from waitctl.application.waits.changes import MovedWait, Open, check_still_to_come, movable_instant, replanned, see
from waitctl.application.waits.creating import WaitCreator
from waitctl.application.waits.forms import RECURRING, Options, read_options, routed, wait_request
from waitctl.application.waits.requests import WaitRequest
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.domain.errors import DatabaseError, InvalidTemplateError, WaitStepError
from waitctl.domain.instants import parse_instant
from waitctl.domain.listeners import EventQuery
from waitctl.domain.templates import LateBinding, Reference, Template
from waitctl.domain.text import JsonObject, parse_json_object
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import NOT_ASKED, TEMPLATE, WaitSpec, WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import templates as store

_PAGE = 1000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Edits:
    """What has become of the open waits that follow a template. ``kept``: those that stay as they are, and why."""

    bound: int = 0
    changed: int = 0
    moved: int = 0
    kept: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> JsonObject:
        """The key `late_bound` of `waitctl template save`."""
        return {
            "open": self.bound,
            "changed": self.changed,
            "moved": self.moved,
            "kept": [{"id": wait_id, "reason": reason} for wait_id, reason in self.kept],
        }


NO_EDITS = Edits()


class TemplateEdits(ReschedulingService):
    """Lets open waits follow their template."""

    def __init__(self, database: Database, *, actor: str, settings: Settings | None = None) -> None:
        super().__init__(database, actor=actor, settings=settings)
        self._timezone = settings.timezone if settings else "UTC"
        self._zones = ContactZones(database)
        self._creator = WaitCreator(database, settings or Settings(database.resolved_url), actor=actor)
        self._known: dict[Reference, Template] = {}

    def apply(self, template: Template) -> Edits:
        """Give every open wait that is late-bound to this template what its version says.

        A thousand in a transaction. Run again it goes on where it was interrupted.
        """
        if template.version == 1:
            return NO_EDITS
        bound = changed = moved = 0
        kept: list[tuple[str, str]] = []
        for page in self._pages(template.name):
            changes: list[MovedWait] = []
            for seen in page:
                bound += 1
                try:
                    change = self._changed(seen, template)
                except DatabaseError:
                    raise
                except WaitStepError as error:
                    kept.append((seen.wait.id, error.message))
                else:
                    changes += [] if change is None else [change]
            landed = self._database.write(partial(self._write_page, changes)) if changes else set()
            changed += len(landed)
            moved += sum(was.id in landed and movable_instant(was) != movable_instant(now) for was, now, _ in changes)
            lost = [was.id for was, _, _ in changes if was.id not in landed]
            kept += [(wait_id, "it changed at this moment") for wait_id in lost]
        return Edits(bound, changed, moved, tuple(kept))

    def _pages(self, name: str) -> Iterator[list[Open]]:
        after: str | None = None
        while True:
            with self._database.read() as connection:
                now = self._database.clock(connection)
                page = store.bound_waits(connection, name, limit=_PAGE, after=after)
                seen = see(connection, page, now)
            if seen:
                yield seen
            if len(page) < _PAGE:
                return
            after = page[-1].id

    def _write_page(self, changes: list[MovedWait], connection: Connection) -> set[str]:
        landed = self._write(changes, connection)
        now = self._database.clock(connection)
        store.change_what_they_do(connection, [each for _, each, _ in changes if each.id in landed], now=now)
        return landed

    # -- one wait -------------------------------------------------------------------------------------------------

    def _changed(self, seen: Open, template: Template) -> MovedWait | None:
        """What a wait becomes; ``None`` when it has this version already. Raises for what has to stay as it is."""
        wait = seen.wait
        binding = LateBinding.of_config(wait.wait_config)
        if binding is None or template.version is None or binding.version >= template.version:
            return None
        if template.fields.get("type") == RECURRING:
            raise InvalidTemplateError("it is of a wait that comes again now")
        versions = (self._version(binding), template)
        before, after = (self._request(each, binding, binding.given) for each in versions)
        if before.spec.context == after.spec.context != wait.context:  # it was updated, and a date may stand there
            given = binding.given | {"context": wait.context}
            before, after = (self._request(each, binding, given) for each in versions)
        _check_same_kind(before, after)
        bound = replace(binding, version=template.version).to_config()
        changed = replace(wait, wait_config={**wait.wait_config, TEMPLATE: bound})
        if before.spec.handler != after.spec.handler or before.spec.handlers != after.spec.handlers:
            changed = replace(changed, handler=after.spec.handler, handlers=_handlers(after))
        if before.spec.context != after.spec.context:
            changed = replace(changed, context=after.spec.context)
        if _timing(before) != _timing(after):
            changed = self._moved(seen, changed, after)
        said = f"template {template.name}: version {binding.version} → {template.version}"
        was, is_ = movable_instant(wait), movable_instant(changed)
        return wait, changed, said if was == is_ else f"{said}, {instant(was)} → {instant(is_)}"

    def _version(self, binding: LateBinding) -> Template:
        reference = Reference(binding.name, binding.version)
        if reference not in self._known:
            with self._database.read() as connection:
                found = store.find_version(connection, reference)
            if found is None:
                raise InvalidTemplateError(f"{reference} is not there any more")
            self._known[reference] = found
        return self._known[reference]

    def _request(self, template: Template, binding: LateBinding, given: JsonObject) -> WaitRequest:
        known = template.placeholders
        values = {name: text for name, text in binding.values.items() if name in known}
        return requested({**template.render(values), **given}, self._timezone).checked()

    def _moved(self, seen: Open, changed: WaitStepExecution, after: WaitRequest) -> WaitStepExecution:
        """The wait by another timing, counted from where it was counted from, and after everything set by hand."""
        wait = seen.wait
        zone = zone_today(
            replace(changed, timezone=after.spec.timezone, wait_config=after.spec.zone_config), self._zones
        )
        since = wait.wait_config.get("from")
        base = after.base or (None if since is None else parse_instant(since, "--from"))
        request = after._replace(base=base, spec=replace(after.spec, timezone=zone, template=None))
        draft, _ = self._creator.draft(request, wait.created_at, wait.id)
        own = {key: wait.wait_config[key] for key in NOT_ASKED - {"tzdata"} if key in wait.wait_config}
        changed = replace(
            changed,
            timezone=zone,
            late_policy=draft.late_policy,
            wait_config={**draft.wait_config, **own, TEMPLATE: changed.wait_config[TEMPLATE]},
        )
        planned, config = self._planned(replace(seen, wait=changed), zone)
        at = planned.at if planned else None
        check_still_to_come(at, seen.now, zone)
        return replanned(replace(changed, wait_config=with_zone_rules(config, zone)), at)


def requested(
    fields: JsonObject, timezone: str, *, binding: JsonObject | None = None, traceparent: str | None = None
) -> WaitRequest:
    """The wait that is asked for by the long names of options; ``timezone`` is its zone if it names none.

    Raises what `read_options` and `wait_request` raise.
    """
    form, options = read_options(fields)
    spec = spec_of(options, timezone, binding=binding, traceparent=traceparent)
    return wait_request(form, options, spec)


def spec_of(
    options: Options, timezone: str, *, binding: JsonObject | None = None, traceparent: str | None = None
) -> WaitSpec:
    """Where a wait belongs by its options. Raises `InvalidWaitConfigurationError`."""
    context = options.get("context")
    spec = WaitSpec(
        workflow_execution_id=options.get("execution") or new_id(),
        step_id=options.get("step") or "wait",
        workflow_id=options.get("workflow"),
        contact_id=options.get("contact"),
        context=parse_json_object(context, "the context") if isinstance(context, str) else context,
        idempotency_key=options.get("key"),
        traceparent=traceparent,
        template=binding,
    )
    return routed(spec, options, timezone)


def _handlers(request: WaitRequest) -> JsonObject | None:
    return {outcome.value: name for outcome, name in (request.spec.handlers or {}).items()} or None


def _timing(request: WaitRequest) -> tuple[object, ...]:
    """What an instant or a deadline comes from."""
    spec = request.spec
    return request.asked, request.rules, request.base, spec.timezone, spec.zone_field, spec.zone_of_contact


def _check_same_kind(before: WaitRequest, after: WaitRequest) -> None:
    if type(before.asked) is not type(after.asked):
        raise InvalidTemplateError("it is another type of wait now")
    if not isinstance(before.asked, EventQuery) or not isinstance(after.asked, EventQuery):
        return
    if _listening(before.asked) != _listening(after.asked):
        raise InvalidTemplateError("it listens to other events now")


def _listening(query: EventQuery) -> tuple[object, ...]:
    match = (query.match, query.match_json, query.where, query.human, query.exclusive)
    return query.event_types, query.mode, query.count, query.distinct, *match
