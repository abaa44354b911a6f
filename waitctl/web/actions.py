"""What the dashboard can change: only with ``--allow-actions``, a token with the scope write, and our own form."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from waitctl.application.deliveries.outbox import DeliveryService
from waitctl.application.events.webhooks import WebhookService
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.planning import MoveOptions
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import number_of
from waitctl.domain.errors import InvalidWaitConfigurationError, PlanTooLargeError, TooManyDeliveriesError
from waitctl.domain.plans import Plan, PlanKind, PlanStatus
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web.access import ForbiddenError
from waitctl.web.answers import HttpError
from waitctl.web.bodies import read_body
from waitctl.web.filters import NAMES, choice, read_filter, refuse_unknown
from waitctl.web.rendering import link
from waitctl.web.site import Site, actor_of, site_of

Form = dict[str, str]
Act = Callable[[Site, str, str, Form], str]
"""What to do: the site, who does it, what with, the form. Returns a word of `rendering.DONE`."""

_MOST_OF_FORM = 64 * 1024

MOST_AT_ONCE = 10_000
"""Waits that a plan may mean for the dashboard to make it, apply it or undo it; deliveries that it retries."""

_MOST_SECONDS = 20.0
"""How long a request works at a plan; what is left then is done by the next one."""


def routes() -> list[Route]:
    """The routes of the actions; all of them are forms of pages."""
    return [
        Route("/waits/{id}/cancel", _action(cancel, "/waits/{id}"), methods=["POST"]),
        Route("/waits/{id}/resume", _action(resume, "/waits/{id}"), methods=["POST"]),
        Route("/waits/{id}/reschedule", _action(reschedule, "/waits/{id}"), methods=["POST"]),
        Route("/deliveries/retry-dead", _action(retry_dead, "/deliveries"), methods=["POST"]),
        Route("/deliveries/{id}/retry", _action(retry, "/deliveries/{id}"), methods=["POST"]),
        Route("/deliveries/{id}/drop", _action(drop, "/deliveries/{id}"), methods=["POST"]),
        Route("/quarantine/{id}/replay", _action(replay, "/quarantine"), methods=["POST"]),
        Route("/quarantine/{id}/drop", _action(forget, "/quarantine"), methods=["POST"]),
        Route("/plans/new", plan_many, methods=["POST"]),
        Route("/plans/{id}/apply", _action(apply_plan, "/plans/{id}"), methods=["POST"]),
        Route("/plans/{id}/undo", _action(undo_plan, "/plans/{id}"), methods=["POST"]),
    ]


def _action(act: Act, page: str) -> Callable[[Request], object]:
    async def checked(request: Request) -> Response:
        site, actor, form = await _may_act(request)
        identifier = request.path_params.get("id", "")
        done = await site.run(partial(act, site, actor, identifier, form))
        return RedirectResponse(link(request, page.replace("{id}", identifier), {"done": done}), 303)

    return checked


async def _may_act(request: Request) -> tuple[Site, str, Form]:
    """The site, who acts, and the form, once it is clear that they may."""
    site = site_of(request)
    caller = site.access.require(request, Scope.WRITE)
    if not site.allow_actions:
        raise ForbiddenError("this dashboard only shows", hint="waitctl serve --allow-actions lets it act, too")
    form = await read_form(request)
    site.access.check_csrf(request, caller, form.get("csrf", ""))
    return site, actor_of(caller), form


async def read_form(request: Request) -> Form:
    """The fields of a form; of one that comes twice, the last. Raises `HttpError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HttpError(415, "unsupported_media_type", "this takes a form")
    body = await read_body(request, _MOST_OF_FORM)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise HttpError(400, "invalid_form", "the form cannot be read") from error


def _reason(form: Form) -> str | None:
    return form.get("reason", "").strip() or None


def cancel(site: Site, actor: str, identifier: str, form: Form) -> str:
    """Cancel a wait."""
    _waits(site, actor).cancel_wait(identifier, reason=_reason(form))
    return "cancelled"


def resume(site: Site, actor: str, identifier: str, form: Form) -> str:
    """Resume a wait by hand."""
    _waits(site, actor).resume_wait(identifier, reason=_reason(form))
    return "resumed"


def reschedule(site: Site, actor: str, identifier: str, form: Form) -> str:
    """Give a wait another instant: a local time in its zone, or a span to move it by.

    Raises `InvalidWaitConfigurationError` unless exactly one is given, and what `reschedule_wait` raises.
    """
    at, by = form.get("at", "").strip() or None, form.get("by", "").strip() or None
    if (at is None) == (by is None):
        raise InvalidWaitConfigurationError("give either an instant or a span")
    service = ReschedulingService(site.database, actor=actor, settings=site.settings)
    service.reschedule_wait(identifier, at=at, by=by, reason=_reason(form))
    return "rescheduled"


def retry(site: Site, actor: str, identifier: str, _: Form) -> str:
    """Make a delivery due now."""
    DeliveryService(site.database, actor=actor).retry(identifier)
    return "retried"


def retry_dead(site: Site, actor: str, _: str, form: Form) -> str:
    """Make every dead delivery due now, of a handler if one is named. Raises `TooManyDeliveriesError`."""
    handler = form.get("handler") or None
    try:
        DeliveryService(site.database, actor=actor).retry_dead(handler=handler, cap=MOST_AT_ONCE)
    except TooManyDeliveriesError as error:
        which = "--all-dead" if handler is None else shlex.join(["--handler", handler])
        hint = f"on the command line: waitctl delivery retry {which}"
        raise TooManyDeliveriesError(error.message, hint=hint) from error
    return "retried"


def drop(site: Site, actor: str, identifier: str, _: Form) -> str:
    """Give a delivery up."""
    DeliveryService(site.database, actor=actor).drop(identifier)
    return "dropped"


def replay(site: Site, actor: str, identifier: str, _: Form) -> str:
    """Take in again what was refused."""
    result = WebhookService(site.database, site.settings, actor=actor).replay(identifier)[1]
    return "refused" if result.refusals else "replayed"


def forget(site: Site, actor: str, identifier: str, _: Form) -> str:
    """Forget what was refused."""
    WebhookService(site.database, site.settings, actor=actor).drop(identifier)
    return "dropped"


async def plan_many(request: Request) -> Response:
    """Plan a change of the waits that the URL's filters mean, and show the plan.

    Raises `InvalidWaitConfigurationError` for no filter at all, `PlanTooLargeError`, and what else planning raises.
    """
    site, actor, form = await _may_act(request)
    refuse_unknown(request.query_params, NAMES)
    wanted = read_filter(request.query_params)
    if wanted.is_empty:
        raise InvalidWaitConfigurationError("name which waits: a filter", hint="waitctl bulk … --all means every one")
    kind = choice(PlanKind, form.get("action", ""), "action")
    if kind is PlanKind.REPLAN:
        raise InvalidWaitConfigurationError("waitctl replan shows what it would change")
    given = {name: form.get(name, "").strip() or None for name in ("at", "by", "spread")}
    moves = MoveOptions(**given) if kind is PlanKind.RESCHEDULE else None

    def work() -> Plan:
        return _bulk(site, actor).plan(kind, wanted, moves=moves, reason=_reason(form), cap=MOST_AT_ONCE)

    try:
        plan = await site.run(work)
    except PlanTooLargeError as error:
        hint = f"narrow the filter, or plan it on the command line: waitctl bulk {kind}"
        raise PlanTooLargeError(f"{error.message}, and the dashboard plans no more", hint=hint) from error
    return RedirectResponse(link(request, f"/plans/{plan.id}", {"done": "planned"}), 303)


def apply_plan(site: Site, actor: str, identifier: str, form: Form) -> str:
    """Do what a plan says, if it means no more waits than its page has shown."""
    bulk, shown = _bulk(site, actor), form.get("max", "")
    _refuse_large(bulk, identifier, "apply")
    cap = int(shown) if shown.isascii() and shown.isdecimal() else 0
    done = bulk.apply(identifier, cap=cap, seconds=_MOST_SECONDS)
    return "applied" if done.status is PlanStatus.APPLIED else "unfinished"


def undo_plan(site: Site, actor: str, identifier: str, _: Form) -> str:
    """Take back what a plan has done."""
    bulk = _bulk(site, actor)
    _refuse_large(bulk, identifier, "undo")
    done = bulk.undo(identifier, seconds=_MOST_SECONDS)
    return "undone" if done.status is PlanStatus.UNDONE else "unfinished"


def _refuse_large(bulk: BulkService, identifier: str, verb: str) -> None:
    """Raise `PlanTooLargeError` for a plan that the dashboard does not work at: the command line has made it."""
    plan = bulk.get_plan(identifier)
    if plan.matched > MOST_AT_ONCE:
        raise PlanTooLargeError(
            f"the plan means {number_of(plan.matched, 'wait')}, and the dashboard works at {MOST_AT_ONCE:,} at most",
            hint=f"on the command line: waitctl bulk {verb} {plan.id}",
        )


def _bulk(site: Site, actor: str) -> BulkService:
    return BulkService(site.database, actor=actor, settings=site.settings)


def _waits(site: Site, actor: str) -> WaitSchedulingService:
    return WaitSchedulingService(site.database, actor=actor, settings=site.settings)
